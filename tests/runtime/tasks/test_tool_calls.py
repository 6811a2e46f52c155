"""Tool calls are found in the formats of several models, however their text is cut into pieces."""

from __future__ import annotations

import pytest

from hearth.tasks.tool_calls import BARE, FORMATS, LLAMA, ToolCallParser, ToolFormat

HERMES, MISTRAL, PHI = FORMATS
NAMES = ["add", "now"]
ADD, NOW = ("add", '{"a":1}'), ("now", "{}")


def parse(tool_format: ToolFormat, text: str, size: int) -> tuple[str, list[tuple[str, str]]]:
    parser = ToolCallParser(tool_format, NAMES)
    content = "".join(parser.push(text[start : start + size]) for start in range(0, len(text), size))
    rest, calls = parser.finish()
    return content + rest, [(call.name, call.arguments) for call in calls]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("tool_format", "text", "content", "calls"),
    [
        (HERMES, '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>', "", [ADD]),
        (
            HERMES,
            'Let me see. <tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>\n'
            '<tool_call>{"name": "now", "arguments": {}}</tool_call>',
            "Let me see. ",
            [ADD, NOW],
        ),
        (HERMES, '{"name": "now", "arguments": {}}', "", [NOW]),
        (
            MISTRAL,
            '[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, {"name": "now", "arguments": {}}]',
            "",
            [ADD, NOW],
        ),
        (MISTRAL, '[{"name": "now", "arguments": {}}]', "", [NOW]),
        (PHI, '<|tool_call|>[{"name": "now", "arguments": {}}]<|/tool_call|>', "", [NOW]),
        (LLAMA, '{"name": "add", "parameters": {"a": 1}}; {"name": "now", "parameters": {}}', "", [ADD, NOW]),
        (BARE, '\n {"name": "now"}', "", [NOW]),
        (BARE, '{"name": "add", "arguments": "{\\"a\\":1}"}', "", [ADD]),
        (HERMES, "1 < 2 <tool", "1 < 2 <tool", []),
        (HERMES, "  \n ", "  \n ", []),
        (HERMES, '{"answer": 42}', '{"answer": 42}', []),
        (HERMES, '{"name": "remove", "arguments": {}}', '{"name": "remove", "arguments": {}}', []),
        (LLAMA, "[1, 2", "[1, 2", []),
        (HERMES, "<tool_call>{broken", "<tool_call>{broken", []),
    ],
)
def test_calls_and_content(
    tool_format: ToolFormat, text: str, content: str, calls: list[tuple[str, str]], size: int
) -> None:
    assert parse(tool_format, text, size) == (content, calls)


def test_deep_nesting_is_content() -> None:
    text = "[" * 100_000
    assert parse(BARE, text, 1000) == (text, [])
