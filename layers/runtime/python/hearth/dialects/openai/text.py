"""POST /v1/completions and /v1/chat/completions, whole or as Server-Sent Events."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hearth import strict, trace
from hearth.call import EVENTS, Answer, event
from hearth.dialects.openai import form
from hearth.errors import BadRequest, HearthError, PayloadTooLarge
from hearth.task import Task

if TYPE_CHECKING:
    from hearth.generation import Piece

CHOICES = 128
"""Texts that one request may ask for, over all of its prompts."""
FINISH = {"length": "length", "eos_token": "stop", "stop_sequence": "stop"}

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Text = Annotated[str, Meta(min_length=1)]


class StreamOptions(Struct, frozen=True, forbid_unknown_fields=True):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Common(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    model: str
    temperature: Annotated[float, Meta(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    n: Annotated[int, Meta(ge=1, le=CHOICES)] = 1
    stop: Text | Annotated[list[Text], Meta(max_length=4)] = []
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] = {}
    stream: bool = False
    stream_options: StreamOptions | None = None
    user: str = ""


class CompletionRequest(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    prompt: str | list[Any]
    """A text, its tokens, or a list of either."""
    max_tokens: Annotated[int, Meta(ge=0)] = 16
    best_of: Annotated[int, Meta(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Meta(ge=0, le=5)] | None = None
    echo: bool = False


class TextPart(Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["text"]
    text: str


class Message(Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["developer", "system", "user", "assistant"]
    content: str | list[TextPart]


class ChatRequest(Common, frozen=True, forbid_unknown_fields=True, kw_only=True):
    messages: Annotated[list[Message], Meta(min_length=1, max_length=1000)]
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: dict[str, str] = {}
    safety_identifier: str = ""
    prompt_cache_key: str = ""


REFUSED: dict[str, Sequence[Any]] = {"suffix": ("",)}
REFUSED_IN_CHAT: dict[str, Sequence[Any]] = {
    "tools": ([],),
    "tool_choice": ("none",),
    "parallel_tool_calls": (),
    "functions": ([],),
    "function_call": ("none",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
    "prediction": (),
    "reasoning_effort": ("none",),
    "verbosity": (),
    "web_search_options": (),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "prompt_cache_retention": (),
    "moderation": (),
}


class Usage(Struct, frozen=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Logprobs(Struct, frozen=True):
    """Of a completion."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TopLogprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, frozen=True):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Struct, frozen=True):
    content: list[TokenLogprob]
    refusal: None = None


class Choice(Struct, frozen=True):
    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: str | None


class Completion(Struct, frozen=True):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | None


class ChatMessage(Struct, frozen=True):
    role: str
    content: str
    refusal: None = None


class ChatChoice(Struct, frozen=True):
    index: int
    message: ChatMessage
    logprobs: ChatLogprobs | None
    finish_reason: str


class ChatCompletion(Struct, frozen=True):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class Delta(Struct, frozen=True, omit_defaults=True):
    role: str | None = None
    content: str | None = None


class ChatChunkChoice(Struct, frozen=True):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: str | None = None


class ChatChunk(Struct, frozen=True):
    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | None = None


@dataclass
class Writer:
    """The answers to `prompts`, `n` for each."""

    task: Task
    name: str
    id: str
    prompts: Sequence[dict[str, Any]]
    """Of each what the task's request has: `inputs` or `messages`."""
    parameters: dict[str, Any]
    n: int
    created: int = field(default_factory=lambda: int(time.time()))
    read: int = 0
    """Tokens of the prompts, each counted once."""
    written: int = 0
    """Tokens of the answers."""

    def pieces(self, prompt: int, choice: int) -> Iterator[Piece]:
        facts, seed = trace.current().facts, self.parameters.get("seed")
        parameters = self.parameters if seed is None else self.parameters | {"seed": (seed + choice) % 2**63}
        assert self.task.stream is not None  # noqa: S101
        try:
            request = strict.convert({**self.prompts[prompt], "parameters": parameters}, self.task.request)
            before = int(facts.get("input_tokens", 0))
            for number, piece in enumerate(self.task.stream(self.name, request)):
                if choice == number == 0:
                    self.read += int(facts["input_tokens"]) - before
                self.written += 1
                yield piece
        except HearthError as failure:
            raise form.reworded(failure) from failure.__cause__

    def choices(self) -> Iterator[tuple[int, Iterator[Piece]]]:
        for prompt in range(len(self.prompts)):
            for choice in range(self.n):
                yield prompt * self.n + choice, self.pieces(prompt, choice)

    def usage(self) -> Usage:
        return Usage(self.read, self.written, self.read + self.written)


def parameters_of(asked: Common, most: int | None, top: int | None) -> dict[str, Any]:
    return {
        "max_new_tokens": most,
        "do_sample": asked.temperature > 0,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "stop": [asked.stop] if isinstance(asked.stop, str) else asked.stop,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "logit_bias": asked.logit_bias,
        "top_n_tokens": top or 0,
        **({} if asked.seed is None else {"seed": asked.seed % 2**63}),
    }


def bounded(prompts: int, each: int) -> None:
    if prompts * each > CHOICES:
        raise PayloadTooLarge(f"{prompts} prompts with {each} answers are more than {CHOICES} texts", param="n")


def events(chunks: Iterator[Any]) -> Answer:
    def written() -> Iterator[bytes]:
        for chunk in chunks:
            yield event(msgspec.json.encode(chunk))
        yield event(b"[DONE]")

    return Answer(written(), EVENTS)


def with_usage(asked: Common) -> bool:
    if asked.stream_options is None:
        return False
    if not asked.stream:
        raise BadRequest("`stream_options` goes with `stream`", param="stream_options")
    return asked.stream_options.include_usage
