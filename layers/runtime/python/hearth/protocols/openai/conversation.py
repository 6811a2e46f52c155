"""Shared by chat completions and responses: output formats, and answers with tool calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.openai.sampling import Sampler
from hearth.protocols.openai.schema import ResponseFormat

if TYPE_CHECKING:
    from hearth.tasks.tool_calls import ToolCall


def grammar_of(response_format: ResponseFormat | None) -> dict[str, Any] | None:
    """The task's `grammar`; None for a free text. Raises BadRequest."""
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return {"type": "json", "value": {"type": "object"}}
    if response_format.json_schema is None:
        raise BadRequest("`response_format` of the type json_schema needs `json_schema`", param="response_format")
    return {"type": "json", "value": response_format.json_schema.schema}


def tool_call(call_id: str, name: str, arguments: str, param: str) -> dict[str, Any]:
    """A former call as the task's request has it. Raises BadRequest if the arguments are no JSON object."""
    try:
        parsed = strict_json.loads(arguments.encode() or b"{}")
    except BadRequest:
        parsed = None
    if not isinstance(parsed, dict):
        raise BadRequest("The `arguments` of a tool call must be a JSON object as text", param=param)
    return {"id": call_id, "function": {"name": name, "arguments": parsed}}


class Answer:
    """Separates the content of an answer from its tool calls; without tools all of it is content."""

    def __init__(self, sampler: Sampler, parallel: bool) -> None:
        self._parser, self._parallel = None, parallel
        prompt = sampler.prompts[0]
        if prompt["tools"] and prompt["tool_choice"] != "none":
            from hearth.tasks.tool_calls import ToolCallParser, tool_format

            names = [tool["function"]["name"] for tool in prompt["tools"]]
            self._parser = ToolCallParser(tool_format(sampler.model), names)

    def push(self, text: str) -> str:
        """The content that is certain."""
        return text if self._parser is None else self._parser.push(text)

    def finish(self) -> tuple[str, list[ToolCall]]:
        """The rest of the content, and the calls, at the end of the text."""
        if self._parser is None:
            return "", []
        content, calls = self._parser.finish()
        return content, calls if self._parallel else calls[:1]
