"""Output formats and tool calls, shared by chats and responses."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from hearth.errors import BadRequest
from hearth.protocols.openai.conversation import Answer, grammar_of, tool_call
from hearth.protocols.openai.schema import ResponseFormat


def response_format(**fields: Any) -> ResponseFormat:
    return msgspec.convert(fields, ResponseFormat)


def test_a_format_is_a_grammar_of_json() -> None:
    assert grammar_of(None) is None
    assert grammar_of(response_format(type="text")) is None
    assert grammar_of(response_format(type="json_object")) == {"type": "json", "value": {"type": "object"}}
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    named = response_format(type="json_schema", json_schema={"name": "x", "schema": schema})
    assert grammar_of(named) == {"type": "json", "value": schema}
    with pytest.raises(BadRequest, match="needs `json_schema`") as raised:
        grammar_of(response_format(type="json_schema"))
    assert raised.value.param == "response_format"


def test_a_former_call_has_its_arguments_as_an_object() -> None:
    assert tool_call("1", "f", '{"a": 1}', "p") == {"id": "1", "function": {"name": "f", "arguments": {"a": 1}}}
    assert tool_call("1", "f", "", "p")["function"]["arguments"] == {}
    for arguments in ("[]", "{", json.dumps("x")):
        with pytest.raises(BadRequest, match="must be a JSON object as text") as raised:
            tool_call("1", "f", arguments, "messages[0]")
        assert raised.value.param == "messages[0]"


def test_without_tools_all_of_an_answer_is_content() -> None:
    tool = {"function": {"name": "f"}}
    for prompt in ({"tools": [], "tool_choice": "auto"}, {"tools": [tool], "tool_choice": "none"}):
        sampler: Any = SimpleNamespace(prompts=[prompt], model=None)
        answer = Answer(sampler, parallel=True)
        assert [answer.push("<tool_call>"), answer.push("a")] == ["<tool_call>", "a"]
        assert answer.finish() == ("", [])
