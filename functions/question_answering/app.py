"""question-answering: the words of a context that answer a question."""

from __future__ import annotations

from hearth.models import preload

preload.start("tokenizers")  # before the imports that take long

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth.models.cache import warm
from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Spans, TextPreprocessing
from hearth.models.model import Model
from hearth.ops.activations import activate
from hearth.ops.text.answer_spans import barred, spans
from hearth.ops.text.windows import MOST_WINDOWS, Row, bounded, pad, room, whole, windows
from hearth.tasks.task import Task
from hearth.telemetry.timing import step

WINDOWS = 16
"""Rows of one run: how much memory a long context takes."""
USUAL = 384
"""Tokens of a window where the caller says nothing, or fewer if the model reads fewer."""

Positive = Annotated[int, Meta(ge=1)]


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    top_k: Annotated[int, Meta(ge=1, le=100)] = 1
    max_answer_len: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Tokens; unset: as the manifest says."""
    doc_stride: Annotated[int, Meta(ge=0)] | None = None
    """Tokens that the windows of a long context share; unset: as the manifest says, half a window at most."""
    max_seq_len: Positive | None = None
    """Tokens of a window, question included."""
    max_question_len: Positive | None = None
    """Longer questions are cut; unset: they are refused where they leave no room for the context."""
    handle_impossible_answer: bool = False
    """Whether an empty answer may come, with the probability that the context has none."""
    align_to_words: bool = True


class Pair(Struct, frozen=True, forbid_unknown_fields=True):
    question: str
    context: str


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Pair | list[Pair]
    parameters: Parameters = Parameters()


class Answer(Struct, frozen=True):
    score: float
    start: int
    end: int
    """Characters of the context."""
    answer: str


Response = Answer | list[Answer | list[Answer]]
"""The answer, or with `top_k` over 1 a list, best first; a list of those where a list of pairs came."""


def encode(model: Model, request: Request) -> list[list[Row]]:
    """The windows of each pair: the question, then a part of the context. Raises BadRequest, PayloadTooLarge."""
    pairs, limits = pairs_of(request), model.manifest.limits
    if not pairs:
        raise BadRequest('`inputs` is an empty list; send {"question": …, "context": …}')
    if len(pairs) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(pairs)} pairs; {limits.batch} are allowed in one request")
    bounded((text for pair in pairs for text in (pair.question, pair.context)), limits)
    for pair in pairs:
        for field, text in (("question", pair.question), ("context", pair.context)):
            if not text.strip():
                raise BadRequest(f"`{field}` is empty; send a question and the text that may answer it")
    found: list[list[Row]] = []
    for pair in pairs:
        found.append(rows_of(model, pair, request.parameters, MOST_WINDOWS - sum(map(len, found))))
    return found


def rows_of(model: Model, pair: Pair, wanted: Parameters, most: int) -> list[Row]:
    """The windows of a pair, at most so many. Raises BadRequest, PayloadTooLarge."""
    how, head, tokenizer = model.manifest.preprocessing, model.manifest.head, model.tokenizer
    assert isinstance(how, TextPreprocessing)  # noqa: S101 -- what the manifest's schema promises of the task
    assert isinstance(head, Spans)  # noqa: S101
    assert tokenizer is not None  # noqa: S101
    size = min(wanted.max_seq_len or USUAL, how.max_tokens)
    question, context = whole(tokenizer, pair.question), whole(tokenizer, pair.context)
    if not context.ids:
        raise BadRequest("`context` has no words")
    if wanted.max_question_len:
        question.truncate(wanted.max_question_len)
    left = room(tokenizer, size, question)
    if left < 2:
        raise BadRequest(
            f"The question has {len(question.ids)} tokens, which leaves no room for the context in windows of {size}; "
            "shorten it, or set `parameters.max_question_len`"
        )
    stride = wanted.doc_stride
    if stride is None:
        stride = min(head.stride, size // 2, left // 2)
    # Windows must get on through the context: each row costs a run of the network.
    if stride > left * 3 // 4:
        raise BadRequest(f"`parameters.doc_stride` is {stride}; with this question {left * 3 // 4} is the most")
    return windows(tokenizer, context, size, stride, question, most)


def pairs_of(request: Request) -> list[Pair]:
    return [request.inputs] if isinstance(request.inputs, Pair) else request.inputs


def run(model: Model, rows: Sequence[Row]) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Logits (tokens,) of each window: where an answer starts and where it ends."""
    how, inputs = model.manifest.preprocessing, model.manifest.graphs["main"].inputs
    assert isinstance(how, TextPreprocessing)  # noqa: S101
    found = []
    for begin in range(0, len(rows), WINDOWS):
        part = rows[begin : begin + WINDOWS]
        start, end = model.run(pad(part, how.pad_id, [tensor.name for tensor in inputs]))
        found += [(start[at, : len(row.ids)], end[at, : len(row.ids)]) for at, row in enumerate(part)]
    return found


def decode(
    model: Model,
    request: Request,
    texts: list[list[Row]],
    logits: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
) -> Response:
    remaining = iter(logits)
    answers = [
        ranked(model, request.parameters, pair.context, rows, [next(remaining) for _ in rows])
        for pair, rows in zip(pairs_of(request), texts, strict=True)
    ]
    shown = [found[0] if request.parameters.top_k == 1 else found for found in answers]
    return shown[0] if isinstance(request.inputs, Pair) else shown  # type: ignore[return-value]


def ranked(
    model: Model,
    wanted: Parameters,
    context: str,
    rows: Sequence[Row],
    logits: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]],
) -> list[Answer]:
    """The best answers of all windows. One that several windows give, in whatever case, has the sum of its scores."""
    head = model.manifest.head
    assert isinstance(head, Spans)  # noqa: S101
    found: dict[str, Answer] = {}
    impossible = 1.0
    for row, pair in zip(rows, logits, strict=True):
        inside = np.array([sequence == 1 for sequence in row.sequence_ids])
        start, end = (activate(barred(one, inside), "softmax") for one in pair)
        impossible = min(impossible, float(start[0] * end[0]))
        # Spans within the same words are one answer, so more are ranked than are wanted.
        count = wanted.top_k * 2 + 10 if wanted.align_to_words else wanted.top_k
        for first, last, score in spans(start, end, inside, count, wanted.max_answer_len or head.max_answer):
            begin, stop = characters(row, first, last, wanted.align_to_words)
            key = context[begin:stop].lower()
            known = found.get(key, Answer(0.0, begin, stop, context[begin:stop]))
            found[key] = Answer(known.score + score, known.start, known.end, known.answer)
    answers = list(found.values())
    if wanted.handle_impossible_answer or not answers:
        answers.append(Answer(impossible, 0, 0, ""))
    return sorted(answers, key=lambda answer: -answer.score)[: wanted.top_k]


def characters(row: Row, first: int, last: int, words: bool) -> tuple[int, int]:
    """What the tokens from `first` to `last` stand for, widened to whole `words`."""
    if words:
        numbers = list(zip(row.word_ids, row.sequence_ids, strict=True))
        while first > 0 and numbers[first - 1] == numbers[first]:
            first -= 1
        while last + 1 < len(numbers) and numbers[last + 1] == numbers[last]:
            last += 1
    return row.offsets[first][0], row.offsets[last][1]


def answer(model: Model, request: Request) -> Response:
    with step("encode"):
        texts = encode(model, request)
    with step("run"):
        logits = run(model, [row for rows in texts for row in rows])
    with step("decode"):
        return decode(model, request, texts, logits)


def predict(name: str, request: Request) -> Response:
    with warm().get(name) as model:
        return answer(model, request)


TASKS = (
    Task(
        "question-answering",
        Request,
        Response,
        predict,
        {"inputs": {"question": "Where does Anna live?", "context": "My name is Anna and I live in Oslo."}},
    ),
)
handler = create_handler(TASKS)
