"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from hearth.errors import BadRequest
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common
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
    ChatLogprobs,
    ChatMessage,
    ChatResponseMessage,
    TextContentPart,
    TokenLogprob,
    TopLogprob,
)

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece


def create_chat_completion(request: Request) -> Response:
    document = common.read(request, ChatCompletionRequest, REFUSED_IN_CHAT)
    # Hugging Face's client sends requests below the model's path, with any text as the model's name.
    name = request.path_params.get("name", document.model)
    task, model = common.open_model(request, name, "text-generation")
    if document.top_logprobs is not None and not document.logprobs:
        raise BadRequest("`top_logprobs` needs `logprobs`", param="top_logprobs")
    max_tokens = document.max_completion_tokens or document.max_tokens
    parameters = task_parameters(document, max_tokens, document.top_logprobs)
    messages = {"messages": [_message(index, message) for index, message in enumerate(document.messages)]}
    sampler = Sampler(task, model, f"chatcmpl-{request.request_id}", [messages], parameters, document.n)
    with_usage = wants_usage(document)
    if document.stream:
        return event_stream(_chunks(sampler, document, with_usage), sampler.usage)
    choices = [_choice(document, index, list(pieces)) for index, pieces in sampler.choices()]
    completion = ChatCompletion(
        sampler.id, "chat.completion", sampler.created, document.model, choices, sampler.completion_usage()
    )
    return Response(msgspec.json.encode(completion), usage=sampler.usage)


def _message(index: int, message: ChatMessage) -> dict[str, str]:
    """A message of the task's request. Raises BadRequest for one without a text."""
    content = message.content
    if content is None:
        if message.role != "assistant":
            raise BadRequest("A message must have `content`, a text", param=f"messages[{index}].content")
        text = message.refusal or ""
    elif isinstance(content, str):
        text = content
    else:
        text = "".join(part.text if isinstance(part, TextContentPart) else part.refusal for part in content)
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


def _choice(document: ChatCompletionRequest, index: int, pieces: Sequence[Piece]) -> ChatChoice:
    text = "".join(piece.text for piece in pieces)
    message = ChatResponseMessage("assistant", text)
    return ChatChoice(index, message, _logprobs(document, pieces), FINISH_REASONS[pieces[-1].finish or ""])


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
        has_started = False
        for piece in pieces:
            if not has_started:  # not before the first token, so that an error of the prompt still has its own status
                yield chunk(ChatChunkChoice(index, ChatDelta("assistant", "")))
                has_started = True
            if piece.text:
                yield chunk(ChatChunkChoice(index, ChatDelta(content=piece.text), _logprobs(document, [piece])))
            if piece.finish:
                yield chunk(ChatChunkChoice(index, ChatDelta(), None, FINISH_REASONS[piece.finish]))
    if with_usage:
        yield msgspec.structs.replace(chunk(), usage=sampler.completion_usage())
