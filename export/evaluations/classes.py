"""Shared by the classification families: labels of examples, scores by label, accuracy and F1."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from hearth_build.data.datasets import DataError
from hearth_build.data.files import content
from hearth_build.recipe import Example

BATCH = 32
THRESHOLD = 0.5
"""Score from which on a label is predicted, if an input can have several."""
Scores = dict[str, float]
"""Scores by label."""
Expected = frozenset[int]
"""The numbers of an example's labels."""


def scores_of(function: ModuleType, model: Any, inputs: Sequence[Any]) -> list[Scores]:
    """The scores of all labels for every input, predicted in batches."""
    scores: list[Scores] = []
    parameters = function.Parameters(top_k=len(model.manifest.labels))
    size = min(BATCH, model.manifest.limits.batch)
    for start in range(0, len(inputs), size):
        batch = [content(value) for value in inputs[start : start + size]]
        request = function.Request(inputs=batch, parameters=parameters)
        for row in function.predict(model, request).output:
            scores.append({label.label: label.score for label in row})
    return scores


def top_label(scores: Scores) -> str:
    return max(scores, key=lambda label: scores[label])


def difference(first: Scores, second: Scores) -> float:
    """The largest difference of the scores of a label."""
    return max(abs(first[label] - second[label]) for label in first)


def expected_labels(name: str, labels: Sequence[str], examples: Sequence[Example]) -> list[Expected]:
    """The numbers of the labels of each example, which are given as names or numbers. Raises DataError."""
    numbers = {label: number for number, label in enumerate(labels)}
    if not any(label.isdigit() for label in labels):  # else 0 would be the first of the labels 1 to 5
        numbers = {str(number): number for number in range(len(labels))} | numbers
    results: list[Expected] = []
    unknown: set[str] = set()
    for example in examples:
        given = example.expected if isinstance(example.expected, tuple | list) else (example.expected,)
        unknown |= {str(label) for label in given if str(label) not in numbers}
        results.append(frozenset(numbers[str(label)] for label in given if str(label) in numbers))
    if unknown:
        listed = sorted(unknown)
        some = ", ".join(listed[:10]) + (", …" if len(listed) > 10 else "")
        raise DataError(f"{some} {'are' if len(listed) > 1 else 'is'} not among the labels of {name}: {join(labels)}.")
    return results


def join(labels: Iterable[str]) -> str:
    labels = list(labels)
    return ", ".join(labels[:20]) + (", …" if len(labels) > 20 else "")


def classification_metrics(model: Any, examples: Sequence[Example], scores: Sequence[Scores]) -> dict[str, float]:
    """Accuracy and macro-averaged F1 of the labels of a model."""
    return metrics_of(
        list(model.manifest.labels),
        expected_labels(model.manifest.model, model.manifest.labels, examples),
        scores,
        several=model.manifest.activation == "sigmoid",
    )


def metrics_of(
    labels: Sequence[str], expected: Sequence[Expected], scores: Sequence[Scores], *, several: bool = False
) -> dict[str, float]:
    """Accuracy, F1 averaged over the labels that occur and, if an input can have `several` labels, F1 over all of them.

    A label occurs if an input has it or gets it, as scikit-learn counts. An input with several labels is right if it
    gets all of them and no other.
    """
    truth = np.zeros((len(expected), len(labels)), bool)
    predicted = np.zeros_like(truth)
    columns = {label: number for number, label in enumerate(labels)}
    for row, (numbers, by_label) in enumerate(zip(expected, scores, strict=True)):
        truth[row, list(numbers)] = True
        for label in by_label:
            predicted[row, columns[label]] = several and by_label[label] >= THRESHOLD
        if not several:
            predicted[row, columns[top_label(by_label)]] = True
    hits, totals = (truth & predicted).sum(0), truth.sum(0) + predicted.sum(0)
    occurs = totals > 0
    f1 = float((2 * hits[occurs] / totals[occurs]).mean()) if occurs.any() else 0.0
    metrics = {"accuracy": float((truth == predicted).all(1).mean()), "F1": f1}
    if several:
        metrics["F1 micro"] = float(2 * hits.sum() / max(totals.sum(), 1))
    return metrics
