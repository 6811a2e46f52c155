"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common
from hearth.protocols.openai.sampling import (
    Sampler,
    check_choices,
    event_stream,
    task_parameters,
    wants_usage,
)
from hearth.protocols.openai.schema import (
    FINISH_REASONS,
    REFUSED_IN_COMPLETIONS,
    Completion,
    CompletionChoice,
    CompletionLogprobs,
    CompletionRequest,
    CompletionUsage,
)

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece


def create_completion(request: Request) -> Response:
    document = common.read(request, CompletionRequest, REFUSED_IN_COMPLETIONS)
    task, model = common.open_model(request, document.model, "text-generation")
    prompts = list_prompts(document.prompt)
    best_of = document.best_of or document.n
    check_choices(len(prompts), best_of)
    if best_of < document.n:
        raise BadRequest("`best_of` must be at least `n`", param="best_of")
    if document.max_tokens == 0 and not document.echo:
        raise BadRequest("`max_tokens` may be 0 only with `echo`", param="max_tokens")
    if document.stream and (best_of > document.n or document.echo):
        field = "best_of" if best_of > document.n else "echo"
        raise BadRequest(f"`{field}` cannot be streamed", param=field)
    parameters = task_parameters(document, max(document.max_tokens, 1), document.logprobs)
    inputs = [{"inputs": prompt} for prompt in prompts]
    sampler = Sampler(task, model, f"cmpl-{request.request_id}", inputs, parameters, best_of)
    with_usage = wants_usage(document)
    if document.stream:
        return event_stream(_chunks(sampler, document, with_usage), sampler.usage)
    choices = [choice for prompt in range(len(prompts)) for choice in _choices(sampler, document, prompt)]
    usage = sampler.completion_usage()
    if document.max_tokens == 0:
        usage = CompletionUsage(usage.prompt_tokens, 0, usage.prompt_tokens, usage.prompt_tokens_details)
    completion = Completion(sampler.id, "text_completion", sampler.created, document.model, choices, usage)
    return Response(msgspec.json.encode(completion), usage=sampler.usage)


def list_prompts(prompt: str | list[Any]) -> list[str | list[int]]:
    """The prompts of a request. Raises BadRequest."""
    if isinstance(prompt, str) or _are_tokens(prompt):
        return [prompt]
    if not prompt or not all(isinstance(item, str) or _are_tokens(item) for item in prompt):
        raise BadRequest("`prompt` must be a text, a list of token ids, or a list of either", param="prompt")
    return prompt


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(token) is int and token >= 0 for token in value)


def _choices(sampler: Sampler, document: CompletionRequest, prompt: int) -> list[CompletionChoice]:
    """The `n` likeliest of the `best_of` texts of a prompt; in order of generation if all are returned."""
    texts = [list(sampler.pieces(prompt, choice)) for choice in range(sampler.n)]
    if len(texts) > document.n:
        texts.sort(key=lambda pieces: -sum(piece.logprob for piece in pieces) / len(pieces))
    echo, prefill = "", list[Any]()
    if document.echo:
        echo, prefill = _echo(sampler, prompt, scored=document.logprobs is not None)
    choices = []
    for number, pieces in enumerate(texts[: document.n]):
        if document.max_tokens == 0:
            pieces = []
        text = echo + "".join(piece.text for piece in pieces)
        logprobs = None if document.logprobs is None else _logprobs(pieces, document.logprobs, prefill)
        finish = FINISH_REASONS[pieces[-1].finish or ""] if pieces else "length"
        choices.append(CompletionChoice(prompt * document.n + number, text, logprobs, finish))
    return choices


def _echo(sampler: Sampler, prompt: int, *, scored: bool) -> tuple[str, list[Any]]:
    """The prompt's text and, if `scored`, its tokens with their log-probabilities."""
    inputs = sampler.prompts[prompt]["inputs"]
    if isinstance(inputs, str) and not scored:
        return inputs, []
    parameters = {"max_new_tokens": 1, "details": True, "decoder_input_details": True}
    payload = strict_json.convert({"inputs": inputs, "parameters": parameters}, sampler.task.request)
    with common.context_length_errors(sampler.model, "prompt"):
        (generated,) = sampler.task.predict(sampler.model, payload).output
    prefill = generated.details.prefill
    text = inputs if isinstance(inputs, str) else "".join(token.text for token in prefill)
    return text, prefill if scored else []


def _logprobs(pieces: Sequence[Piece], top: int, prefill: Sequence[Any] = (), start: int = 0) -> CompletionLogprobs:
    texts = [*(token.text for token in prefill), *(piece.text for piece in pieces)]
    offsets = list(accumulate(map(len, texts[:-1]), initial=start))
    likely: list[dict[str, float] | None] = [None] * len(prefill)
    likely += [_by_text(piece) for piece in pieces]
    values = [*(token.logprob for token in prefill), *(piece.logprob for piece in pieces)]
    return CompletionLogprobs(texts, values, likely if top else None, offsets)


def _by_text(piece: Piece) -> dict[str, float]:
    """The log-probabilities of the likeliest tokens by their texts. Tokens that are parts of a character have the same
    text, and the likeliest of them counts."""
    logprobs: dict[str, float] = {}
    for _, text, logprob in piece.top:
        logprobs.setdefault(text, logprob)
    return logprobs


def _chunks(sampler: Sampler, document: CompletionRequest, with_usage: bool) -> Iterator[Completion]:
    def chunk(choices: list[CompletionChoice], usage: CompletionUsage | None = None) -> Completion:
        return Completion(sampler.id, "text_completion", sampler.created, document.model, choices, usage)

    for index, pieces in sampler.choices():
        offset = 0
        for piece in pieces:
            logprobs = None if document.logprobs is None else _logprobs([piece], document.logprobs, start=offset)
            offset += len(piece.text)
            finish = FINISH_REASONS[piece.finish] if piece.finish else None
            yield chunk([CompletionChoice(index, piece.text, logprobs, finish)])
    if with_usage:
        yield chunk([], sampler.completion_usage())
