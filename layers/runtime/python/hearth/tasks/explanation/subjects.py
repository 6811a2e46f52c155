"""What an explanation is of: the score of a label, a box, an answer or a text, as a function of the input.

Tasks that write, transcribe or read tables bring their own (`Task.subject`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.ops.attribution import Floats
from hearth.strict_json import safe_name
from hearth.tasks.explanation.parts import Texts, shrink
from hearth.tasks.schema import Box, ExplainOptions, Measure
from hearth.tasks.task import Prediction, Task

MIN_SCORE = 0.01
"""Boxes with lower scores count as absent."""
ANSWERS = 20
"""Answers of a context without some of its words among which the explained answer is looked for."""


class Word(NamedTuple):
    """A word of a written answer."""

    text: str
    start: int
    """Offset in the answer, in characters."""
    end: int


class Subject(NamedTuple):
    prediction: Prediction
    """Its usage grows with each call of `score`."""
    content: Any
    """The input, as the parts of the task take it."""
    target: str
    """The name of what is explained."""
    measure: Measure
    score: Callable[[Sequence[Any]], Floats]
    """Parts of the input -> their scores, (inputs, outputs)."""
    words: Sequence[Word] = ()
    """The words of a written answer. The outputs are these, and what comes after the last of them."""
    chosen: int | None = None
    """The output that is explained; None: their sum."""


def subject_of(task: Task, model: Model[Any, Any], request: Any, options: ExplainOptions) -> Subject:
    """What an explanation of the request is of. Raises BadRequest, and what the task raises."""
    if task.subject is not None:
        return task.subject(model, request, options)
    return _SUBJECTS[task.row.comparison](task, model, request, options.target)


def only_input(inputs: Any) -> Any:
    """The only input of a request. Raises BadRequest if there are others."""
    values = inputs if isinstance(inputs, list) else [inputs]
    if len(values) != 1:
        raise BadRequest("One input is explained at a time; send one", param="parameters.explain")
    return values[0]


def no_target(name: str, known: str) -> BadRequest:
    """The error for a target that the answer does not have."""
    return BadRequest(f"There is no {known} {safe_name(name)} to explain", param="parameters.explain")


def find_index(target: str, items: Sequence[Any], name: str) -> int:
    """The number of an item that `target` names. Raises BadRequest."""
    if not (target.isascii() and target.isdecimal()) or int(target[:9]) >= len(items):
        raise BadRequest(
            f"`explain.target` must be the number of a {name}, from 0 to {len(items) - 1}", param="parameters.explain"
        )
    return int(target)


def of_text(value: Any) -> Any:
    """The content of an input: a text has its words in one field without a name; files stay as they are."""
    return Texts({"": value}, lambda fields: fields[""]) if isinstance(value, str) else value


def change(request: Any, **parameters: Any) -> Any:
    """The request with other parameters."""
    return msgspec.structs.replace(request, parameters=msgspec.structs.replace(request.parameters, **parameters))


def scorer(
    task: Task, model: Model[Any, Any], request: Any, prediction: Prediction, score: Callable[[Any], float]
) -> Callable[[Sequence[Any]], Floats]:
    """A function that predicts for inputs, in one list, and scores each result; the usage is added to the
    prediction's."""

    def score_inputs(inputs: Sequence[Any]) -> Floats:
        result = task.predict(model, msgspec.structs.replace(request, inputs=[*inputs]))
        prediction.usage.add(result.usage)
        return np.array([[score(row)] for row in result.output], float)

    return score_inputs


def single_scorer(
    task: Task, model: Model[Any, Any], request: Any, prediction: Prediction, score: Callable[[Any], float]
) -> Callable[[Sequence[Any]], Floats]:
    """As `scorer`, for tasks whose requests have one input."""

    def score_inputs(inputs: Sequence[Any]) -> Floats:
        rows = []
        for value in inputs:
            result = task.predict(model, msgspec.structs.replace(request, inputs=value))
            prediction.usage.add(result.usage)
            rows.append([score(result.output)])
        return np.array(rows, float)

    return score_inputs


def _label(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The score of one label."""
    value = only_input(request.inputs)
    prediction = task.predict(model, request)
    name = _row(prediction.output)[0].label if target is None else target
    if hasattr(request.parameters, "top_k"):
        if name not in model.manifest.labels:
            raise no_target(name, "label")
        request = change(request, top_k=len(model.manifest.labels))

    def score(row: Any) -> float:
        for label in row:
            if label.label == name:
                return float(label.score)
        raise no_target(name, "label")

    return Subject(prediction, of_text(value), name, "score", scorer(task, model, request, prediction, score))


def _box(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The best box of a label that lies where a given box lies: its score times the overlap (D-RISE, Petsiuk 2021)."""
    value = only_input(request.inputs)
    prediction = task.predict(model, request)
    boxes = _row(getattr(prediction.output, "boxes", prediction.output))
    found = next((detection for detection in boxes if target in (None, detection.label)), None)
    if found is None:
        name = "nothing" if target is None else f"no {safe_name(target)}"
        raise BadRequest(f"There is {name} in the answer that could be explained", param="parameters.explain")

    picture, size = shrink(value, model)
    scale = picture.width / size[0], picture.height / size[1]
    place = [edge * factor for edge, factor in zip(_edges(found.box), scale * 2, strict=True)]

    def score(row: Any) -> float:
        same = (detection for detection in row if detection.label == found.label)
        return max((detection.score * _overlap(_edges(detection.box), place) for detection in same), default=0.0)

    request = change(request, threshold=MIN_SCORE, annotate=False)
    scores = scorer(task, model, request, prediction, score)
    return Subject(prediction, value, found.label, "score times overlap", scores)


def _entity(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The score of an entity: of the same text with the same label, wherever it lies."""
    value = only_input(request.inputs)
    prediction = task.predict(model, request)
    entities = [entity for entity in _row(prediction.output) if target in (None, entity.word)]
    if not entities:
        name = "nothing" if target is None else f"no {safe_name(target)}"
        raise BadRequest(f"There is {name} in the answer that could be explained", param="parameters.explain")
    found = max(entities, key=lambda entity: entity.score)

    def key(entity: Any) -> tuple[Any, ...]:
        return entity.word, entity.entity, entity.entity_group

    def score(row: Any) -> float:
        return max((float(entity.score) for entity in row if key(entity) == key(found)), default=0.0)

    return Subject(prediction, of_text(value), found.word, "score", scorer(task, model, request, prediction, score))


def _guess(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The score of a token in the place of the only mask."""
    value = only_input(request.inputs)
    prediction = task.predict(model, request)
    guesses = prediction.output[0] if isinstance(request.inputs, list) else prediction.output
    if isinstance(guesses[0], list):
        raise BadRequest("A text with one mask is explained; fill the others", param="parameters.explain")
    tokenizer = model.tokenizer
    word = tokenizer.id_to_token(guesses[0].token) if target is None else target
    mask = str(tokenizer.id_to_token(model.head.token_id))
    request = change(request, targets=[word], top_k=1)
    texts = Texts({"": value}, lambda fields: fields[""], mask)
    name = guesses[0].token_str.strip() if target is None else target
    scores = scorer(task, model, request, prediction, lambda row: float(row[0].score))
    return Subject(prediction, texts, name, "score", scores)


def _answer(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The score of an answer: the same text, wherever it lies in the context."""
    pair = only_input(request.inputs)
    prediction = task.predict(model, request)
    answers = _row(prediction.output if isinstance(prediction.output, list) else [prediction.output])
    found = next((answer for answer in answers if target in (None, answer.answer)), None)
    if found is None:
        raise no_target(target or "", "answer")

    def score(row: Any) -> float:
        return next((float(answer.score) for answer in row if answer.answer.lower() == found.answer.lower()), 0.0)

    def build(fields: Mapping[str, str]) -> Any:
        return msgspec.structs.replace(pair, **fields)

    texts = Texts({"question": pair.question, "context": pair.context}, build)
    scores = scorer(task, model, change(request, top_k=ANSWERS), prediction, score)
    return Subject(prediction, texts, found.answer, "score", scores)


def _ranked_text(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The score of a text for the query."""
    prediction, inputs = task.predict(model, request), request.inputs
    index = prediction.output[0].index if target is None else find_index(target, inputs.texts, "text")

    def build(fields: Mapping[str, str]) -> Any:
        return msgspec.structs.replace(inputs, query=fields["query"], texts=[fields["texts"]])

    texts = Texts({"query": inputs.query, "texts": inputs.texts[index]}, build)
    scores = single_scorer(task, model, change(request, top_n=None), prediction, lambda output: output[0].score)
    return Subject(prediction, texts, str(index), "score", scores)


def _similarity(task: Task, model: Model[Any, Any], request: Any, target: str | None) -> Subject:
    """The similarity of a sentence with the source sentence, which stays whole: two empty sentences would be equal."""
    prediction, inputs = task.predict(model, request), request.inputs
    index = int(np.argmax(prediction.output)) if target is None else find_index(target, inputs.sentences, "sentence")

    def build(fields: Mapping[str, str]) -> Any:
        return msgspec.structs.replace(inputs, sentences=[fields["sentences"]])

    texts = Texts({"sentences": inputs.sentences[index]}, build)
    scores = single_scorer(task, model, request, prediction, lambda output: output[0])
    return Subject(prediction, texts, str(index), "similarity", scores)


def _row(output: list[Any]) -> list[Any]:
    """The result of the only input, which is in a list of its own if the input was."""
    return output[0] if output and isinstance(output[0], list) else output


def _edges(box: Box) -> tuple[int, int, int, int]:
    return box.xmin, box.ymin, box.xmax, box.ymax


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes: xmin, ymin, xmax, ymax."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    common = max(width, 0) * max(height, 0)
    areas = ((edges[2] - edges[0]) * (edges[3] - edges[1]) for edges in (box, other))
    return common / (sum(areas) - common) if common else 0.0


_SUBJECTS: dict[str, Callable[[Task, Model[Any, Any], Any, str | None], Subject]] = {
    "scores": _label,
    "boxes": _box,
    "token_labels": _entity,
    "word_guesses": _guess,
    "answer": _answer,
    "ranking": _ranked_text,
    "vectors": _similarity,
}
"""By the comparison of the task, which is the kind of its answers."""
