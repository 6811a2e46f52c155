"""Explains a prediction: which words of a text, tiles of a picture, segments of a recording or columns of a row made
its score.

The explanation calls the task's own function with parts of the input, so it needs nothing from the model but scores.
`parts` has what is left out, `subjects` what is scored.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from hearth import deadline
from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.ops.attribution import Attribution, Floats, Masks
from hearth.tasks.explanation.parts import PARTS, Parts
from hearth.tasks.explanation.subjects import Subject, subject_of
from hearth.tasks.schema import Explained, ExplainOptions, Explanation, OutputAttribution
from hearth.tasks.task import Prediction, Task
from hearth.telemetry.timing import current

SECONDS_LEFT = 2.0
"""An explanation ends with what it has this long before the deadline, after the runs that it would start next."""


def explain(task: Task, model: Model[Any, Any], request: Any) -> Prediction:
    """Predict, and explain the prediction as `request.parameters.explain` says.

    Raises BadRequest, and what the task raises.
    """
    options = request.parameters.explain
    options = ExplainOptions() if options is True else options
    if options.reference is not None and task.row.parts != "columns":
        raise BadRequest("`explain.reference` has rows of a table; leave it out", param="parameters.explain")
    subject, parts = prepare(task, model, request, options)
    timing = current()
    observed, timing.observed = timing.observed, None  # parts of the input are no inputs of their own
    score, slowest = score_of(subject, parts), 0.0

    def timed_score(masks: Masks) -> Floats:
        nonlocal slowest
        begin = perf_counter()
        scores = score(masks)
        slowest = max(slowest, perf_counter() - begin)
        return scores

    def is_late() -> bool:
        return deadline.expires_within(SECONDS_LEFT + 2 * slowest)  # the next round may have twice as many runs

    result = parts.attribute(timed_score, options.runs or parts.runs, is_late)
    timing.observed = observed
    prediction = subject.prediction
    return Prediction(Explained(prediction.output, describe(subject, parts, result)), prediction.usage)


def prepare(task: Task, model: Model[Any, Any], request: Any, options: ExplainOptions) -> tuple[Subject, Parts]:
    """What is explained, and the parts of the input. Raises BadRequest, and what the task raises."""
    parameters = msgspec.structs.replace(request.parameters, explain=False)
    subject = subject_of(task, model, msgspec.structs.replace(request, parameters=parameters), options)
    assert task.row.parts is not None  # noqa: S101 -- only such tasks are explainable
    return subject, PARTS[task.row.parts](subject.content, model)


def score_of(subject: Subject, parts: Parts) -> Callable[[Masks], Floats]:
    """The function that scores the parts of each mask, (n, units) to (n, outputs)."""

    def score(masks: Masks) -> Floats:
        order = masks.sum(1).argsort()  # texts of similar length share a run, which needs little padding
        results = []
        for start in range(0, len(masks), parts.batch):
            chosen = order[start : start + parts.batch]
            results.append(subject.score([parts.select(mask) for mask in masks[chosen]]))
        sorted_scores = np.concatenate(results)
        scores = np.empty_like(sorted_scores)
        scores[order] = sorted_scores
        return scores

    return score


def describe(subject: Subject, parts: Parts, result: Attribution) -> Explanation:
    """The explanation of the chosen output, or of all together, and of each of the words of a written answer."""
    chosen = slice(None) if subject.chosen is None else slice(subject.chosen, subject.chosen + 1)
    values, errors = result.values[:, chosen].sum(1), result.errors[:, chosen].sum(1)
    outputs = tuple(
        OutputAttribution(
            word.text,
            word.start,
            word.end,
            float(result.score[index]),
            float(result.base_score[index]),
            result.values[:, index].tolist(),
        )
        for index, word in enumerate(subject.words)
    )
    return Explanation(
        result.method,
        subject.target,
        subject.measure,
        float(result.score[chosen].sum()),
        float(result.base_score[chosen].sum()),
        result.runs,
        float(errors.sum()),
        parts.attributions(values, errors),
        outputs,
    )
