"""POST /v1/completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.base import Answer, Call
from hearth.protocols.openai import common
from hearth.protocols.openai.sampling import Writer, bounded, events, parameters_of, with_usage
from hearth.protocols.openai.schema import FINISH, REFUSED, Choice, Completion, CompletionRequest, Logprobs

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece


def completions(call: Call) -> Answer:
    asked = common.read(call, CompletionRequest, REFUSED)
    task = common.task(call, asked.model, "text-generation")
    prompts = prompts_of(asked.prompt)
    best = asked.best_of or asked.n
    bounded(len(prompts), best)
    if best < asked.n:
        raise BadRequest("`best_of` must be at least `n`", param="best_of")
    if asked.max_tokens == 0 and not asked.echo:
        raise BadRequest("`max_tokens` may be 0 with `echo` alone", param="max_tokens")
    if asked.stream and (best > asked.n or asked.echo):
        wrong = "best_of" if best > asked.n else "echo"
        raise BadRequest(f"`{wrong}` cannot be streamed", param=wrong)
    parameters = parameters_of(asked, max(asked.max_tokens, 1), asked.logprobs)
    inputs = [{"inputs": prompt} for prompt in prompts]
    writer = Writer(task, asked.model, f"cmpl-{call.request_id}", inputs, parameters, best)
    usage = with_usage(asked)
    if asked.stream:
        return events(_chunks(writer, asked, usage))
    choices = [choice for prompt in range(len(prompts)) for choice in _choices(writer, asked, prompt)]
    whole = Completion(writer.id, "text_completion", writer.created, asked.model, choices, _usage(writer, asked))
    return Answer(msgspec.json.encode(whole))


def prompts_of(prompt: str | list[Any]) -> list[str | list[int]]:
    """Raises BadRequest."""

    def tokens(thing: Any) -> bool:
        return isinstance(thing, list) and bool(thing) and all(type(token) is int and token >= 0 for token in thing)

    if isinstance(prompt, str) or tokens(prompt):
        return [prompt]
    if not prompt or not all(isinstance(one, str) or tokens(one) for one in prompt):
        raise BadRequest("`prompt` must be a text, a list of token numbers, or a list of either", param="prompt")
    return prompt


def _usage(writer: Writer, asked: CompletionRequest) -> Any:
    usage = writer.usage()
    if asked.max_tokens:
        return usage
    return msgspec.structs.replace(usage, completion_tokens=0, total_tokens=usage.prompt_tokens)


def _choices(writer: Writer, asked: CompletionRequest, prompt: int) -> list[Choice]:
    """The `n` likeliest of the answers to a prompt, in the order in which they were made where all are wanted."""
    answers = [list(writer.pieces(prompt, choice)) for choice in range(writer.n)]
    if len(answers) > asked.n:
        answers.sort(key=lambda pieces: -sum(piece.logprob for piece in pieces) / len(pieces))
    before, known = _echo(writer, prompt, asked.logprobs is not None) if asked.echo else ("", [])
    found = []
    for number, pieces in enumerate(answers[: asked.n]):
        if asked.max_tokens == 0:
            pieces = []
        text = before + "".join(piece.text for piece in pieces)
        logprobs = None if asked.logprobs is None else _logprobs(pieces, asked.logprobs, known)
        finish = FINISH[pieces[-1].finish or ""] if pieces else "length"
        found.append(Choice(prompt * asked.n + number, text, logprobs, finish))
    return found


def _echo(writer: Writer, prompt: int, scored: bool) -> tuple[str, list[Any]]:
    """The prompt's text and, where they are wanted, its tokens with their log-probabilities."""
    inputs = writer.prompts[prompt]["inputs"]
    if isinstance(inputs, str) and not scored:
        return inputs, []
    wanted = {"max_new_tokens": 1, "details": True, "decoder_input_details": True}
    (answer,) = writer.task.predict(
        writer.name, strict_json.convert({"inputs": inputs, "parameters": wanted}, writer.task.request)
    )
    known = answer.details.prefill
    return inputs if isinstance(inputs, str) else "".join(token.text for token in known), known if scored else []


def _logprobs(pieces: Sequence[Piece], top: int, before: Sequence[Any] = (), start: int = 0) -> Logprobs:
    texts = [*(token.text for token in before), *(piece.text for piece in pieces)]
    offsets = list(accumulate(map(len, texts[:-1]), initial=start))
    likely: list[dict[str, float] | None] = [None] * len(before)
    likely += [{text: logprob for _, text, logprob in piece.top} for piece in pieces]
    values = [*(token.logprob for token in before), *(piece.logprob for piece in pieces)]
    return Logprobs(texts, values, likely if top else None, offsets)


def _chunks(writer: Writer, asked: CompletionRequest, usage: bool) -> Iterator[Completion]:
    def chunk(choices: list[Choice], total: Any = None) -> Completion:
        return Completion(writer.id, "text_completion", writer.created, asked.model, choices, total)

    for index, pieces in writer.choices():
        written = 0
        for piece in pieces:
            logprobs = None if asked.logprobs is None else _logprobs([piece], asked.logprobs, start=written)
            written += len(piece.text)
            yield chunk([Choice(index, piece.text, logprobs, FINISH[piece.finish] if piece.finish else None)])
    if usage:
        yield chunk([], writer.usage())
