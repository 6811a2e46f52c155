"""question-answering: the part of a context that answers a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.heads import Spans
from hearth.models.model import Model
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.activations import activate
from hearth.ops.text.answer_spans import best_spans, mask_logits
from hearth.ops.text.windows import MAX_WINDOWS, Row, check_lengths, pad, tokenize_whole, window_capacity, windows
from hearth.tasks.schema import Explainable, Explained
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.timing import step

BATCH = 16
"""Number of windows per run, which bounds the memory that a long context takes."""
WINDOW = 384
"""Default number of tokens of a window, or fewer if the model reads fewer."""

SpanModel = Model[TextPreprocessing, Spans]
Logits = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]
"""Start and end logits (tokens,) of a window."""
Positive = Annotated[int, Meta(ge=1)]


class Parameters(Explainable, frozen=True):
    top_k: Annotated[int, Meta(ge=1, le=100)] = 1
    max_answer_len: Annotated[int, Meta(ge=1, le=1000)] | None = None
    """Largest number of tokens of an answer; default: from the manifest."""
    doc_stride: Annotated[int, Meta(ge=0)] | None = None
    """Number of tokens that the windows of a long context share; default: from the manifest, at most half a window."""
    max_seq_len: Positive | None = None
    """Number of tokens of a window, question included."""
    max_question_len: Positive | None = None
    """Longer questions are truncated; default: they are refused if they leave no space for the context."""
    handle_impossible_answer: bool = False
    """Whether the answer may be empty, with the probability that the context has no answer."""
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
    """Character offsets in the context."""
    answer: str


Response = Answer | list[Answer | list[Answer]] | Explained
"""The answer, or with `top_k` over 1 a list, best first; a list of these for a list of pairs."""


def encode(model: SpanModel, request: Request) -> list[list[Row]]:
    """The windows of each pair: the question, then a part of the context. Raises BadRequest, PayloadTooLarge."""
    pairs, limits = list_pairs(request), model.manifest.limits
    if not pairs:
        raise BadRequest('`inputs` is an empty list; send {"question": …, "context": …}')
    if len(pairs) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(pairs)} pairs; {limits.batch} are allowed in one request")
    check_lengths((text for pair in pairs for text in (pair.question, pair.context)), limits)
    for pair in pairs:
        for field, text in (("question", pair.question), ("context", pair.context)):
            if not text.strip():
                raise BadRequest(f"`{field}` is empty; send a question and the text that may answer it")
    rows: list[list[Row]] = []
    for pair in pairs:
        rows.append(windows_of_pair(model, pair, request.parameters, MAX_WINDOWS - sum(map(len, rows))))
    return rows


def windows_of_pair(model: SpanModel, pair: Pair, parameters: Parameters, maximum: int) -> list[Row]:
    """The windows of a pair, at most `maximum`. Raises BadRequest, PayloadTooLarge."""
    tokenizer = model.tokenizer
    size = min(parameters.max_seq_len or WINDOW, model.preprocessing.max_tokens)
    question, context = tokenize_whole(tokenizer, pair.question), tokenize_whole(tokenizer, pair.context)
    if not context.ids:
        raise BadRequest("`context` has no words")
    if parameters.max_question_len:
        question.truncate(parameters.max_question_len)
    capacity = window_capacity(tokenizer, size, question)
    if capacity < 2:
        raise BadRequest(
            f"The question has {len(question.ids)} tokens, which leaves no room for the context in windows of {size}; "
            "shorten it, or set `parameters.max_question_len`"
        )
    stride = parameters.doc_stride
    if stride is None:
        stride = min(model.head.stride, size // 2, capacity // 2)
    # Windows must advance through the context: each costs a run of the model.
    if stride > capacity * 3 // 4:
        raise BadRequest(
            f"`parameters.doc_stride` is {stride}; with this question it can be at most {capacity * 3 // 4}"
        )
    return windows(tokenizer, context, size, stride, question, maximum)


def list_pairs(request: Request) -> list[Pair]:
    return [request.inputs] if isinstance(request.inputs, Pair) else request.inputs


def run(model: SpanModel, rows: Sequence[Row]) -> list[Logits]:
    names, pad_id = model.input_names["main"], model.preprocessing.pad_id
    logits = []
    for begin in range(0, len(rows), BATCH):
        batch = rows[begin : begin + BATCH]
        start, end = model.run(pad(batch, pad_id, names))  # (windows, tokens) each
        logits += [(start[index, : len(row.ids)], end[index, : len(row.ids)]) for index, row in enumerate(batch)]
    return logits


def decode(model: SpanModel, request: Request, texts: list[list[Row]], logits: Sequence[Logits]) -> Response:
    remaining = iter(logits)
    results = [
        rank(model, request.parameters, pair.context, rows, [next(remaining) for _ in rows])
        for pair, rows in zip(list_pairs(request), texts, strict=True)
    ]
    response = [answers[0] if request.parameters.top_k == 1 else answers for answers in results]
    return response[0] if isinstance(request.inputs, Pair) else response  # type: ignore[return-value]


def rank(
    model: SpanModel, parameters: Parameters, context: str, rows: Sequence[Row], logits: Sequence[Logits]
) -> list[Answer]:
    """The best answers of all windows. The scores of equal answers of several windows, compared without case, are
    added."""
    answers: dict[str, Answer] = {}
    impossible = 1.0
    for row, pair in zip(rows, logits, strict=True):
        in_context = np.array([sequence == 1 for sequence in row.sequence_ids])
        start, end = (activate(mask_logits(edge, in_context), "softmax") for edge in pair)
        impossible = min(impossible, float(start[0] * end[0]))
        # Spans within the same words become one answer, so more spans are ranked than requested.
        count = parameters.top_k * 2 + 10 if parameters.align_to_words else parameters.top_k
        max_tokens = parameters.max_answer_len or model.head.max_answer
        for first, last, score in best_spans(start, end, in_context, count, max_tokens):
            begin, stop = characters(row, first, last, parameters.align_to_words)
            key = context[begin:stop].lower()
            previous = answers.get(key, Answer(0.0, begin, stop, context[begin:stop]))
            answers[key] = Answer(previous.score + score, previous.start, previous.end, previous.answer)
    ranked = list(answers.values())
    if parameters.handle_impossible_answer or not ranked:
        ranked.append(Answer(impossible, 0, 0, ""))
    return sorted(ranked, key=lambda answer: -answer.score)[: parameters.top_k]


def characters(row: Row, first: int, last: int, words: bool) -> tuple[int, int]:
    """Character offsets of the tokens from `first` to `last`, extended to whole words if `words`."""
    if words:
        word_ids = list(zip(row.word_ids, row.sequence_ids, strict=True))
        while first > 0 and word_ids[first - 1] == word_ids[first]:
            first -= 1
        while last + 1 < len(word_ids) and word_ids[last + 1] == word_ids[last]:
            last += 1
    return row.offsets[first][0], row.offsets[last][1]


def predict(model: SpanModel, request: Request) -> Prediction:
    with step("encode"):
        texts = encode(model, request)
    rows = [row for windows_of_text in texts for row in windows_of_text]
    with step("run"):
        logits = run(model, rows)
    with step("decode"):
        response = decode(model, request, texts, logits)
    return Prediction(response, Usage(len(texts), sum(len(row.ids) for row in rows)))


TASKS = (
    explainable(
        Task(
            "question-answering",
            Request,
            Response,
            predict,
            {"inputs": {"question": "Where does Anna live?", "context": "My name is Anna and I live in Oslo."}},
        )
    ),
)
handler = create_handler(TASKS)
