"""Texts that a language model is trained on: files of text, columns of texts, and conversations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.data.files import list_files
from hearth_build.data.table_files import decode_text, parse_literal
from hearth_build.data.tables import GROUP, NO_COLUMNS, TIME, Columns, Role, read_table
from hearth_build.recipe import Example

DATA_FORMAT = (
    "a .txt file in UTF-8, a folder of them, a table with a column `text`, or conversations: JSON lines with "
    '`messages`, [{"role", "content"}], or a table with `prompt` and `completion`'
)
ROLES = (
    Role("messages", ("messages", "conversations", "conversation"), required=False),
    Role("prompt", ("prompt", "instruction", "question"), required=False),
    Role("context", ("input", "context"), required=False),
    Role("completion", ("completion", "response", "answer", "output"), required=False),
    Role("text", ("text", "content", "document"), required=False),
    Role("system", ("system", "system_prompt"), required=False),
    GROUP,
    TIME,
)
SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "model": "assistant", "bot": "assistant"}
"""How some tools name the roles of messages."""
ROLE_NAMES = ("system", "user", "assistant", "tool")
Message = dict[str, str]


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Example]:
    """Read examples: `inputs` are a text, or {"messages": [...]}. Raises DataError."""
    if path.is_dir():
        files = [file for file in list_files(path) if file.path.suffix.lower() in (".txt", ".md")]
        if not files:
            raise DataError(f"{path} has no .txt files; it must be {DATA_FORMAT}.")
        return [Example(plain_text(file.read(), str(file)), None, str(file.path)) for file in files]
    if path.suffix.lower() in (".txt", ".md", ""):
        text = plain_text(path.read_bytes(), str(path))
        return [Example(text, None, path.name)] if text else []
    table = read_table(path, ROLES, columns)
    if not {"messages", "completion", "text"} & set(table.columns):
        raise DataError(
            f"{path} has no column of texts or messages: name it with --column text=NAME, --column messages=NAME, or "
            "--column prompt=NAME --column completion=NAME."
        )
    examples = []
    for number, row in enumerate(table.rows, 1):
        inputs: Any = table.text(row, "text")
        if "messages" in table.columns:
            inputs = {"messages": messages_of(table.value(row, "messages"), f"{path}, row {number}")}
            if table.text(row, "system") and inputs["messages"][:1] and inputs["messages"][0]["role"] != "system":
                inputs["messages"].insert(0, {"role": "system", "content": table.text(row, "system")})
        elif "completion" in table.columns:
            prompt = "\n\n".join(filter(None, (table.text(row, "prompt"), table.text(row, "context"))))
            turns = (
                ("system", table.text(row, "system")),
                ("user", prompt),
                ("assistant", table.text(row, "completion")),
            )
            inputs = {"messages": [{"role": role, "content": text} for role, text in turns if text]}
        examples.append(Example(inputs, None, f"row {number}", table.text(row, "group"), table.text(row, "time")))
    return examples


def plain_text(data: bytes, name: str) -> str:
    return decode_text(name, data).replace("\r\n", "\n")


def messages_of(value: Any, place: str) -> list[Message]:
    """The messages of a conversation. Raises DataError, which names the `place`."""
    if isinstance(value, str):
        try:
            value = parse_literal(value)
        except ValueError:
            raise DataError(f"{place}: the messages are no JSON.") from None
    if not isinstance(value, Sequence) or not all(isinstance(message, Mapping) for message in value):
        raise DataError(f'{place}: messages must be a list of objects, {{"role": "user", "content": "…"}}.')
    messages = []
    for message in value:
        role = str(message.get("role", message.get("from", "")))
        role = SPEAKERS.get(role, role)
        content = text_of(message.get("content", message.get("value")))
        if role not in ROLE_NAMES or not isinstance(content, str):
            raise DataError(
                f"{place}: a message needs a role ({', '.join(ROLE_NAMES)}) and a content that is a text; this one has "
                f"{role!r} and {str(content)[:40]!r}."
            )
        messages.append({"role": role, "content": content})
    return messages


def text_of(content: Any) -> Any:
    """The text of a message whose content is a list of texts, as OpenAI writes it; other contents as they are."""
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        return "\n".join(str(part.get("text", "")) for part in content)
    return content


def whole_text(example: Example) -> str:
    """All that an example says, for statistics and comparisons."""
    if isinstance(example.inputs, str):
        return example.inputs
    return "\n".join(message["content"] for message in example.inputs["messages"])


def learnt_text(example: Example) -> str:
    """What a model learns to write: a text, or the assistant's messages."""
    if isinstance(example.inputs, str):
        return example.inputs
    messages = example.inputs["messages"]
    return "\n".join(message["content"] for message in messages if message["role"] == "assistant")
