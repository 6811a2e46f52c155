"""POST /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from hearth.errors import BadRequest
from hearth.protocols.base import Answer, Call
from hearth.protocols.openai import common
from hearth.protocols.openai.sampling import Writer, events, parameters_of, with_usage
from hearth.protocols.openai.schema import (
    FINISH,
    REFUSED_IN_CHAT,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatLogprobs,
    ChatMessage,
    ChatRequest,
    Delta,
    Message,
    TokenLogprob,
    TopLogprob,
)

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece


def chat(call: Call) -> Answer:
    asked = common.read(call, ChatRequest, REFUSED_IN_CHAT)
    # Hugging Face's client asks below the model's own path, with whatever it has as the model's name.
    name = call.path.get("name", asked.model)
    task = common.task(call, name, "text-generation")
    if asked.top_logprobs is not None and not asked.logprobs:
        raise BadRequest("`top_logprobs` goes with `logprobs`", param="top_logprobs")
    parameters = parameters_of(asked, asked.max_completion_tokens or asked.max_tokens, asked.top_logprobs)
    messages = {"messages": [_message(message) for message in asked.messages]}
    writer = Writer(task, name, f"chatcmpl-{call.request_id}", [messages], parameters, asked.n)
    usage = with_usage(asked)
    if asked.stream:
        return events(_chunks(writer, asked, usage))
    choices = [_choice(asked, index, list(pieces)) for index, pieces in writer.choices()]
    whole = ChatCompletion(writer.id, "chat.completion", writer.created, asked.model, choices, writer.usage())
    return Answer(msgspec.json.encode(whole))


def _message(message: Message) -> dict[str, str]:
    content = message.content
    text = content if isinstance(content, str) else "".join(part.text for part in content)
    return {"role": "system" if message.role == "developer" else message.role, "content": text}


def _choice(asked: ChatRequest, index: int, pieces: Sequence[Piece]) -> ChatChoice:
    text = "".join(piece.text for piece in pieces)
    return ChatChoice(index, ChatMessage("assistant", text), _logprobs(asked, pieces), FINISH[pieces[-1].finish or ""])


def _logprobs(asked: ChatRequest, pieces: Sequence[Piece]) -> ChatLogprobs | None:
    if not asked.logprobs:
        return None

    def top(piece: Piece) -> list[TopLogprob]:
        return [TopLogprob(text, logprob, list(text.encode())) for _, text, logprob in piece.top]

    return ChatLogprobs(
        [TokenLogprob(piece.text, piece.logprob, list(piece.text.encode()), top(piece)) for piece in pieces]
    )


def _chunks(writer: Writer, asked: ChatRequest, usage: bool) -> Iterator[ChatChunk]:
    def chunk(*choices: ChatChunkChoice) -> ChatChunk:
        return ChatChunk(writer.id, "chat.completion.chunk", writer.created, asked.model, list(choices))

    for index, pieces in writer.choices():
        begun = False
        for piece in pieces:
            if not begun:  # with the first token, so that what is wrong with the prompt still has a status of its own
                yield chunk(ChatChunkChoice(index, Delta("assistant", "")))
                begun = True
            if piece.text:
                yield chunk(ChatChunkChoice(index, Delta(content=piece.text), _logprobs(asked, [piece])))
            if piece.finish:
                yield chunk(ChatChunkChoice(index, Delta(), None, FINISH[piece.finish]))
    if usage:
        yield msgspec.structs.replace(chunk(), usage=writer.usage())
