"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from hearth.errors import BadRequest
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common, conversation
from hearth.protocols.openai.sampling import Sampler, event_stream, task_parameters, wants_usage
from hearth.protocols.openai.schema import (
    FINISH_REASONS,
    REFUSED_IN_CHAT,
    ChatChoice,
    ChatChunkChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChatDelta,
    ChatFunctionCall,
    ChatLogprobs,
    ChatMessage,
    ChatResponseMessage,
    ChatToolCall,
    TextContentPart,
    TokenLogprob,
    TopLogprob,
)

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece
    from hearth.tasks.tool_calls import ToolCall


def create_chat_completion(request: Request) -> Response:
    document = common.read(request, ChatCompletionRequest, REFUSED_IN_CHAT)
    # Hugging Face's client sends requests below the model's path, with any text as the model's name.
    name = request.path_params.get("name", document.model)
    task, model = common.open_model(request, name, "text-generation")
    if document.top_logprobs is not None and not document.logprobs:
        raise BadRequest("`top_logprobs` needs `logprobs`", param="top_logprobs")
    max_tokens = document.max_completion_tokens or document.max_tokens
    parameters = task_parameters(document, max_tokens, document.top_logprobs)
    if grammar := conversation.grammar_of(document.response_format):
        parameters["grammar"] = grammar
    choice = document.tool_choice if isinstance(document.tool_choice, str) else document.tool_choice.function.name
    prompt = {
        "messages": [_message(index, message) for index, message in enumerate(document.messages)],
        "tools": msgspec.to_builtins(document.tools),
        "tool_choice": choice,
    }
    sampler = Sampler(task, model, f"chatcmpl-{request.request_id}", [prompt], parameters, document.n)
    with_usage = wants_usage(document)
    if document.stream:
        return event_stream(_chunks(sampler, document, with_usage), sampler.usage)
    choices = [_choice(sampler, document, index, list(pieces)) for index, pieces in sampler.choices()]
    completion = ChatCompletion(
        sampler.id, "chat.completion", sampler.created, document.model, choices, sampler.completion_usage()
    )
    return Response(msgspec.json.encode(completion), usage=sampler.usage)


def _message(index: int, message: ChatMessage) -> dict[str, Any]:
    """A message of the task's request. Raises BadRequest for one without a text or with unreadable arguments."""
    content = message.content
    if content is None:
        if message.role != "assistant":
            raise BadRequest("A message must have `content`, a text", param=f"messages[{index}].content")
        text = message.refusal or ""
    elif isinstance(content, str):
        text = content
    else:
        text = "".join(part.text if isinstance(part, TextContentPart) else part.refusal for part in content)
    calls = [
        conversation.tool_call(call.id, call.function.name, call.function.arguments, f"messages[{index}].tool_calls")
        for call in message.tool_calls or []
    ]
    role = "system" if message.role == "developer" else message.role
    fields = {"tool_calls": calls, "tool_call_id": message.tool_call_id, "name": message.name}
    return {"role": role, "content": text, **{name: value for name, value in fields.items() if value}}


def _choice(sampler: Sampler, document: ChatCompletionRequest, index: int, pieces: Sequence[Piece]) -> ChatChoice:
    answer = conversation.Answer(sampler, document.parallel_tool_calls)
    content = "".join(answer.push(piece.text) for piece in pieces)
    rest, calls = answer.finish()
    if not calls:
        message = ChatResponseMessage("assistant", content + rest)
        return ChatChoice(index, message, _logprobs(document, pieces), FINISH_REASONS[pieces[-1].finish or ""])
    message = ChatResponseMessage("assistant", content or None, tool_calls=[_tool_call(call) for call in calls])
    return ChatChoice(index, message, _logprobs(document, pieces), "tool_calls")


def _tool_call(call: ToolCall, index: int | UnsetType = UNSET) -> ChatToolCall:
    return ChatToolCall(call.id, ChatFunctionCall(call.name, call.arguments), index=index)


def _logprobs(document: ChatCompletionRequest, pieces: Sequence[Piece]) -> ChatLogprobs | None:
    if not document.logprobs:
        return None
    return ChatLogprobs(
        [
            TokenLogprob(
                piece.text,
                piece.logprob,
                list(piece.text.encode()),
                [TopLogprob(text, logprob, list(text.encode())) for _, text, logprob in piece.top],
            )
            for piece in pieces
        ]
    )


def _chunks(sampler: Sampler, document: ChatCompletionRequest, with_usage: bool) -> Iterator[ChatCompletionChunk]:
    def chunk(*choices: ChatChunkChoice) -> ChatCompletionChunk:
        return ChatCompletionChunk(sampler.id, "chat.completion.chunk", sampler.created, document.model, list(choices))

    for index, pieces in sampler.choices():
        answer, has_started = conversation.Answer(sampler, document.parallel_tool_calls), False
        for piece in pieces:
            if not has_started:  # not before the first token, so that an error of the prompt still has its own status
                yield chunk(ChatChunkChoice(index, ChatDelta("assistant", "")))
                has_started = True
            content = answer.push(piece.text)
            calls: list[ToolCall] = []
            if piece.finish:
                rest, calls = answer.finish()
                content += rest
            if content or document.logprobs:  # a token whose text is held back has a log-probability too
                yield chunk(ChatChunkChoice(index, ChatDelta(content=content), _logprobs(document, [piece])))
            for number, call in enumerate(calls):
                yield chunk(ChatChunkChoice(index, ChatDelta(tool_calls=[_tool_call(call, number)])))
            if piece.finish:
                finish = "tool_calls" if calls else FINISH_REASONS[piece.finish]
                yield chunk(ChatChunkChoice(index, ChatDelta(), None, finish))
    if with_usage:
        yield msgspec.structs.replace(chunk(), usage=sampler.completion_usage())
