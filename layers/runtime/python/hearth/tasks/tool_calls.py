"""Tool calls of a chat model: what precedes them in its own format, the grammar of a forced call, and their parsing.

Models write calls as they were trained to, as JSON with or without markers around it; a chat template that describes
tools contains its model's markers.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from hearth.errors import BadRequest
from hearth.ops.text.stop_strings import StopStrings
from hearth.tasks.constraint import Grammar
from hearth.tasks.generation import LanguageModel

CHARACTERS = string.ascii_letters + string.digits


class ToolFormat(Struct, frozen=True):
    begin: str = ""
    """Marker before the calls."""
    end: str = ""
    """Marker after them."""
    is_list: bool = False
    """Whether the calls are a JSON list, or objects one after the other, each within markers."""
    arguments: str = "arguments"
    """The key of a call's arguments."""


FORMATS = (
    ToolFormat("<tool_call>", "</tool_call>"),  # Qwen, Hermes, SmolLM3
    ToolFormat("[TOOL_CALLS]", is_list=True),  # Mistral
    ToolFormat("<|tool_call|>", "<|/tool_call|>", is_list=True),  # Phi-4 mini
)
BARE = ToolFormat()
LLAMA = ToolFormat(arguments="parameters")


class ToolCall(Struct, frozen=True):
    id: str
    name: str
    arguments: str
    """A JSON object as text."""


def tool_format(model: LanguageModel) -> ToolFormat:
    """The format in which a model calls tools. Raises BadRequest if its chat template does not know tools."""
    template = model.resources[model.head.chat_template].decode() if model.head.chat_template else ""
    if "tools" not in template:
        raise BadRequest("The model's chat template has no tools; leave them out", param="tools")
    for known in FORMATS:
        if known.begin in template:
            return known
    return LLAMA if '"parameters"' in template else BARE


def forced_call(tool_format: ToolFormat, tools: Sequence[Any], choice: str) -> Grammar:
    """The grammar of a call of the tool `choice`, or of any tool. Raises BadRequest for an unknown name."""
    functions = [tool["function"] for tool in tools]
    chosen = [function for function in functions if choice in ("required", function["name"])]
    if not chosen:
        raise BadRequest("`tool_choice` names a function that `tools` does not have", param="tool_choice")
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": function["name"]},
                tool_format.arguments: function.get("parameters") or {"type": "object"},
            },
            "required": ["name", tool_format.arguments],
            "additionalProperties": False,
        }
        for function in chosen
    ]
    call = {"anyOf": calls}
    # A list of one: forced calls come one at a time.
    return Grammar(
        "json", {"type": "array", "items": call, "minItems": 1, "maxItems": 1} if tool_format.is_list else call
    )


class ToolCallParser:
    """Separates a text that arrives in pieces into content and tool calls."""

    def __init__(self, tool_format: ToolFormat, names: Sequence[str]) -> None:
        self._format, self._names = tool_format, names
        self._marker = StopStrings([tool_format.begin] if tool_format.begin else [])
        self._text = ""
        self._held: str | None = None
        """The text from where a call may have begun; None before."""

    def push(self, text: str) -> str:
        """The content that is certain not to be a call."""
        is_first = not self._text.strip()
        self._text += text
        if self._held is not None:
            self._held += text
            return ""
        if is_first:
            if not self._text.strip():
                return ""
            text = self._text
            if text.lstrip()[0] in "{[":  # its marker may be a special token, which the tokenizer does not print
                self._held = text
                return ""
        content = self._marker.push(text)
        if self._marker.matched:
            self._held = self._text[self._text.index(self._format.begin) :]
        return content

    def finish(self) -> tuple[str, list[ToolCall]]:
        """The rest of the content, and the calls, at the end of the text."""
        if self._held is None:
            return self._marker.flush() if self._text.strip() else self._text, []
        calls = self._parse(self._held)
        return ("", calls) if calls else (self._held, [])

    def _parse(self, text: str) -> list[ToolCall]:
        """The calls in a text; none unless all of it is calls."""
        for marker in (self._format.begin, self._format.end):
            if marker:
                text = text.replace(marker, "\n")
        decoder, position, calls = json.JSONDecoder(), 0, list[ToolCall]()
        try:
            while rest := text[position:].lstrip(" \n\r\t;,"):
                start = len(text) - len(rest)
                value, position = decoder.raw_decode(text, start)
                calls += [self._call(item) for item in (value if isinstance(value, list) else [value])]
        except (ValueError, RecursionError):
            return []
        return calls

    def _call(self, value: Any) -> ToolCall:
        """Raises ValueError if the value is no call of a known tool."""
        if not isinstance(value, dict) or value.get("name") not in self._names:
            raise ValueError(value)
        arguments = value.get("arguments", value.get("parameters", {}))
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        return ToolCall(new_id(), str(value["name"]), text)


def new_id() -> str:
    """Nine letters and digits, the form that Mistral's templates require."""
    return "".join(secrets.choice(CHARACTERS) for _ in range(9))
