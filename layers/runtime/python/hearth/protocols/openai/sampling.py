"""Shared by completions and chat completions: generates the requested texts one after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import deadline, strict_json
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.model import Model
from hearth.protocols.base import EVENT_STREAM, Response, server_sent_event
from hearth.protocols.openai.common import context_length_errors, renamed_fields
from hearth.protocols.openai.schema import MAX_CHOICES, CompletionUsage, GenerationRequest, PromptTokensDetails
from hearth.tasks.task import Task, Usage

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece

FIELD_NAMES = {
    "inputs": "prompt",
    "max_new_tokens": "max_tokens",
    "top_n_tokens": "logprobs",
    "grammar": "response_format",
}
"""The task's field names -> OpenAI's field names."""


@dataclass
class Sampler:
    """Generates `n` texts for each of `prompts`."""

    task: Task
    model: Model[Any, Any]
    id: str
    prompts: Sequence[dict[str, Any]]
    """`inputs` or `messages` of the task's request, for each prompt."""
    parameters: dict[str, Any]
    n: int
    created: int = field(default_factory=lambda: int(time.time()))
    began: float = field(default_factory=time.monotonic)
    usage: Usage = field(default_factory=lambda: Usage(items=0))
    """Usage of all texts; the tokens of each prompt are counted once."""

    def pieces(self, prompt: int, choice: int) -> Iterator[Piece]:
        """The pieces of one text. Raises BadRequest with OpenAI's field names, PayloadTooLarge."""
        self._check_time()
        seed = self.parameters.get("seed")
        parameters = self.parameters if seed is None else self.parameters | {"seed": (seed + choice) % 2**63}
        field = "messages" if "messages" in self.prompts[prompt] else "prompt"
        with renamed_fields(FIELD_NAMES), context_length_errors(self.model, field):
            payload = strict_json.convert({**self.prompts[prompt], "parameters": parameters}, self.task.request)
            generation = self.task.generate(self.model, payload)
            self.usage.items += 1
            if self.usage.seed is None:
                self.usage.seed = generation.usage.seed
            if choice == 0:
                self.usage.input_tokens += generation.usage.input_tokens
            for number, piece in enumerate(generation):
                if choice == number == 0:  # known with the first piece
                    self.usage.cached_tokens += generation.usage.cached_tokens
                self.usage.output_tokens += 1
                yield piece

    def _check_time(self) -> None:
        """Raise PayloadTooLarge if the texts that are left would take longer than the request may, as the texts so far
        took; otherwise the work for these would be lost."""
        texts, done, remaining = len(self.prompts) * self.n, self.usage.items, deadline.remaining()
        if not done or remaining is None:
            return
        seconds = (time.monotonic() - self.began) / done * (texts - done)
        if seconds > remaining:
            raise PayloadTooLarge(
                f"{texts} texts would take about {seconds:.0f} s more, and {max(remaining, 0):.0f} s are left for this "
                "request; request fewer or shorter texts",
                param="n",
            )

    def choices(self) -> Iterator[tuple[int, Iterator[Piece]]]:
        for prompt in range(len(self.prompts)):
            for choice in range(self.n):
                yield prompt * self.n + choice, self.pieces(prompt, choice)

    def completion_usage(self) -> CompletionUsage:
        prompt_tokens, completion_tokens = self.usage.input_tokens, self.usage.output_tokens
        cached = PromptTokensDetails(self.usage.cached_tokens)
        return CompletionUsage(prompt_tokens, completion_tokens, prompt_tokens + completion_tokens, cached)


def task_parameters(document: GenerationRequest, max_tokens: int | None, top_logprobs: int | None) -> dict[str, Any]:
    """The task's parameters."""
    return {
        "max_new_tokens": max_tokens,
        "do_sample": document.temperature > 0,
        "temperature": document.temperature,
        "top_p": document.top_p,
        "stop": [document.stop] if isinstance(document.stop, str) else document.stop,
        "presence_penalty": document.presence_penalty,
        "frequency_penalty": document.frequency_penalty,
        "logit_bias": document.logit_bias,
        "top_n_tokens": top_logprobs or 0,
        "top_k": document.top_k if document.top_k and document.top_k > 0 else None,
        "min_p": document.min_p,
        "repetition_penalty": document.repetition_penalty,
        "ignore_eos": document.ignore_eos,
        **({} if document.seed is None else {"seed": document.seed % 2**63}),
    }


def check_choices(prompts: int, choices: int) -> None:
    """Raise PayloadTooLarge for more than MAX_CHOICES texts."""
    if prompts * choices > MAX_CHOICES:
        raise PayloadTooLarge(
            f"{prompts} prompts with {choices} choices each are more than {MAX_CHOICES} texts", param="n"
        )


def event_stream(chunks: Iterator[Any], usage: Usage) -> Response:
    def events() -> Iterator[bytes]:
        for chunk in chunks:
            yield server_sent_event(msgspec.json.encode(chunk))
        yield server_sent_event(b"[DONE]")

    return Response(events(), EVENT_STREAM, usage=usage)


def wants_usage(document: GenerationRequest) -> bool:
    """Whether a stream ends with its usage. Raises BadRequest."""
    if document.stream_options is None:
        return False
    if not document.stream:
        raise BadRequest("`stream_options` needs `stream`", param="stream_options")
    return document.stream_options.include_usage
