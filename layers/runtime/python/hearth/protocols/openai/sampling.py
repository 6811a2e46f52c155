"""What completions and chat completions share: the texts that are asked for, one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest, HearthError, PayloadTooLarge
from hearth.protocols.base import EVENTS, Answer, event
from hearth.protocols.openai import common
from hearth.protocols.openai.schema import CHOICES, Common, Usage
from hearth.tasks.generation import Piece
from hearth.tasks.task import Task
from hearth.telemetry import timing


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
        facts, seed = timing.current().facts, self.parameters.get("seed")
        parameters = self.parameters if seed is None else self.parameters | {"seed": (seed + choice) % 2**63}
        assert self.task.stream is not None  # noqa: S101
        try:
            request = strict_json.convert({**self.prompts[prompt], "parameters": parameters}, self.task.request)
            before = int(facts.get("input_tokens", 0))
            for number, piece in enumerate(self.task.stream(self.name, request)):
                if choice == number == 0:
                    self.read += int(facts["input_tokens"]) - before
                self.written += 1
                yield piece
        except HearthError as failure:
            raise common.reworded(failure) from failure.__cause__

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
