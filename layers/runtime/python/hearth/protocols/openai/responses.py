"""POST /v1/responses, without stored responses: each request has its whole conversation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.base import EVENT_STREAM, Request, Response, server_sent_event
from hearth.protocols.openai import common, conversation
from hearth.protocols.openai.responses_schema import (
    NAMES_IN_RESPONSES,
    REFUSED_IN_RESPONSES,
    ContentPart,
    FunctionCallItem,
    FunctionCallOutputItem,
    IncompleteDetails,
    InputItem,
    InputTokensDetails,
    MessageItem,
    ModelResponse,
    OutputFunctionCall,
    OutputMessage,
    OutputText,
    OutputTokensDetails,
    ResponseEvent,
    ResponseRequest,
    ResponseUsage,
)
from hearth.protocols.openai.sampling import Sampler
from hearth.protocols.openai.schema import JsonSchema, ResponseFormat

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece
    from hearth.tasks.tool_calls import ToolCall


def create_response(request: Request) -> Response:
    document = common.read(request, ResponseRequest, REFUSED_IN_RESPONSES, NAMES_IN_RESPONSES)
    task, model = common.open_model(request, document.model, "text-generation")
    sampler = Sampler(task, model, f"resp_{request.request_id}", [_prompt(document)], _parameters(document), 1)
    if document.stream:
        return Response(_events(sampler, document), EVENT_STREAM, usage=sampler.usage)
    pieces = list(sampler.pieces(0, 0))
    answer = conversation.Answer(sampler, document.parallel_tool_calls)
    content = "".join(answer.push(piece.text) for piece in pieces)
    rest, calls = answer.finish()
    output: list[OutputMessage | OutputFunctionCall] = []
    status = _status(pieces[-1])
    if content + rest or not calls:
        output.append(OutputMessage(f"msg_{request.request_id}", status, [OutputText(content + rest)]))
    output += map(_function_call, calls)
    return Response(msgspec.json.encode(_response(sampler, document, status, output)), usage=sampler.usage)


def _prompt(document: ResponseRequest) -> dict[str, Any]:
    messages = [{"role": "system", "content": document.instructions}] if document.instructions else []
    tools = [
        {"type": "function", "function": {name: value for name, value in fields.items() if value is not None}}
        for fields in map(structs.asdict, document.tools)
        if fields.pop("type")
    ]
    choice = document.tool_choice
    return {
        "messages": messages + _messages(document.input),
        "tools": tools,
        "tool_choice": choice if isinstance(choice, str) else choice.name,
    }


def _messages(items: str | list[Any]) -> list[dict[str, Any]]:
    """Messages of the task's request. Raises BadRequest."""
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        match _item(index, item):
            case MessageItem(role=role, content=content):
                messages.append({"role": "system" if role == "developer" else role, "content": _text(content)})
            case FunctionCallItem(call_id=call_id, name=name, arguments=arguments):
                call = conversation.tool_call(call_id, name, arguments, f"input[{index}].arguments")
                if messages and "tool_calls" in messages[-1]:  # calls of one answer
                    messages[-1]["tool_calls"].append(call)
                else:
                    messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
            case FunctionCallOutputItem(call_id=call_id, output=output):
                messages.append({"role": "tool", "content": _text(output), "tool_call_id": call_id})
    return messages


def _item(index: int, item: Any) -> InputItem:
    """Raises BadRequest."""
    if isinstance(item, dict) and item.get("type") == "item_reference":
        raise BadRequest("Responses are not stored; send the item itself", param=f"input[{index}]")
    fields = {"type": "message", **item} if isinstance(item, dict) else item
    try:
        parsed: InputItem = strict_json.convert(fields, InputItem)  # type: ignore[arg-type]
    except BadRequest as error:
        raise common.with_param(error, f"input[{index}]" + (f".{error.param}" if error.param else "")) from None
    return parsed


def _text(content: str | list[ContentPart]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _parameters(document: ResponseRequest) -> dict[str, Any]:
    """The task's parameters. Raises BadRequest."""
    chosen = document.text.format
    schema = JsonSchema(chosen.name or "schema", chosen.schema) if chosen.type == "json_schema" else None
    grammar = conversation.grammar_of(ResponseFormat(chosen.type, schema))
    return {
        "max_new_tokens": document.max_output_tokens,
        "do_sample": document.temperature > 0,
        "temperature": document.temperature,
        "top_p": document.top_p,
        **({"grammar": grammar} if grammar else {}),
    }


def _status(last: Piece) -> str:
    return "incomplete" if last.finish == "length" else "completed"


def _function_call(call: ToolCall) -> OutputFunctionCall:
    return OutputFunctionCall(f"fc_{call.id}", f"call_{call.id}", call.name, call.arguments, "completed")


def _response(
    sampler: Sampler, document: ResponseRequest, status: Any, output: list[OutputMessage | OutputFunctionCall]
) -> ModelResponse:
    usage = sampler.usage
    return ModelResponse(
        id=sampler.id,
        created_at=sampler.created,
        status=status,
        incomplete_details=IncompleteDetails() if status == "incomplete" else None,
        instructions=document.instructions,
        max_output_tokens=document.max_output_tokens,
        model=document.model,
        output=output,
        parallel_tool_calls=document.parallel_tool_calls,
        temperature=document.temperature,
        text=document.text,
        tool_choice=document.tool_choice,
        tools=document.tools,
        top_p=document.top_p,
        usage=None
        if status == "in_progress"
        else ResponseUsage(
            usage.input_tokens,
            InputTokensDetails(usage.cached_tokens),
            usage.output_tokens,
            OutputTokensDetails(),
            usage.input_tokens + usage.output_tokens,
        ),
        metadata=document.metadata,
    )


def _events(sampler: Sampler, document: ResponseRequest) -> Iterator[bytes]:
    numbers = count()

    def event(kind: str, **fields: Any) -> bytes:
        body = msgspec.json.encode(ResponseEvent(type=f"response.{kind}", sequence_number=next(numbers), **fields))
        return f"event: response.{kind}\n".encode() + server_sent_event(body)

    answer, text, has_message = conversation.Answer(sampler, document.parallel_tool_calls), "", False
    item_id = "msg_" + sampler.id.removeprefix("resp_")
    status, calls = "", list[Any]()
    for number, piece in enumerate(sampler.pieces(0, 0)):
        if number == 0:  # not before the first token, so that an error of the prompt still has its own status
            yield event("created", response=_response(sampler, document, "in_progress", []))
            yield event("in_progress", response=_response(sampler, document, "in_progress", []))
        delta = answer.push(piece.text)
        if piece.finish:
            status = _status(piece)
            rest, calls = answer.finish()
            delta += rest
        if (delta or (piece.finish and not calls)) and not has_message:
            has_message = True
            item = OutputMessage(item_id, "in_progress", [])
            yield event("output_item.added", output_index=0, item=item)
            yield event("content_part.added", item_id=item_id, output_index=0, content_index=0, part=OutputText(""))
        if delta:
            text += delta
            place = {"item_id": item_id, "output_index": 0, "content_index": 0}
            yield event("output_text.delta", **place, delta=delta, logprobs=[])
    output: list[OutputMessage | OutputFunctionCall] = []
    if has_message:
        place = {"item_id": item_id, "output_index": 0, "content_index": 0}
        yield event("output_text.done", **place, text=text, logprobs=[])
        yield event("content_part.done", **place, part=OutputText(text))
        output.append(OutputMessage(item_id, status, [OutputText(text)]))
        yield event("output_item.done", output_index=0, item=output[0])
    for call in map(_function_call, calls):
        index, started = len(output), structs.replace(call, arguments="", status="in_progress")
        yield event("output_item.added", output_index=index, item=started)
        place = {"item_id": call.id, "output_index": index}
        yield event("function_call_arguments.delta", **place, delta=call.arguments)
        yield event("function_call_arguments.done", **place, name=call.name, arguments=call.arguments)
        output.append(call)
        yield event("output_item.done", output_index=index, item=call)
    yield event(status, response=_response(sampler, document, status, output))
