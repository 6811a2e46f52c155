"""Shared by the two classification families: scores by label, accuracy and F1."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from hearth_build.recipe import Example

BATCH = 32
Scores = dict[str, float]
"""Scores by label."""


def scores_of(function: ModuleType, model: Any, inputs: Sequence[Any]) -> list[Scores]:
    """The scores of all labels for every input, predicted in batches."""
    scores: list[Scores] = []
    parameters = function.Parameters(top_k=len(model.manifest.labels))
    size = min(BATCH, model.manifest.limits.batch)
    for start in range(0, len(inputs), size):
        request = function.Request(inputs=list(inputs[start : start + size]), parameters=parameters)
        for row in function.predict(model, request).output:
            scores.append({label.label: label.score for label in row})
    return scores


def top_label(scores: Scores) -> str:
    return max(scores, key=lambda label: scores[label])


def difference(first: Scores, second: Scores) -> float:
    """The largest difference of the scores of a label."""
    return max(abs(first[label] - second[label]) for label in first)


def classification_metrics(
    labels: Sequence[str], examples: Sequence[Example], scores: Sequence[Scores]
) -> dict[str, float]:
    """Accuracy and macro-averaged F1. The `expected` of an example is the number of its label."""
    expected = np.array([example.expected for example in examples])
    predicted = np.array([labels.index(top_label(row)) for row in scores])
    f1_scores = []
    for label in range(len(labels)):
        true_positives = np.sum((expected == label) & (predicted == label))
        total = np.sum(expected == label) + np.sum(predicted == label)
        f1_scores.append(2 * true_positives / total if total else 0.0)
    return {"accuracy": float(np.mean(expected == predicted)), "F1": float(np.mean(f1_scores))}
