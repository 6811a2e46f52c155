"""What the two classification families share: scores by label, accuracy and F1."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from hearth_build.recipe import Example

BATCH = 32
Scores = dict[str, float]
"""By label."""


def scores_of(function: ModuleType, model: Any, inputs: Sequence[Any]) -> list[Scores]:
    """Every label's score of every input, in batches."""
    found: list[Scores] = []
    parameters = function.Parameters(top_k=len(model.manifest.labels))
    size = min(BATCH, model.manifest.limits.batch)
    for start in range(0, len(inputs), size):
        request = function.Request(inputs=list(inputs[start : start + size]), parameters=parameters)
        found += [{score.label: score.score for score in row} for row in function.predict(model, request).output]
    return found


def top(scores: Scores) -> str:
    return max(scores, key=lambda label: scores[label])


def difference(one: Scores, other: Scores) -> float:
    """The largest of a score."""
    return max(abs(one[label] - other[label]) for label in one)


def quality(labels: Sequence[str], examples: Sequence[Example], found: Sequence[Scores]) -> dict[str, float]:
    """Accuracy and the mean of the labels' F1."""
    wanted = np.array([example.expected for example in examples])
    given = np.array([labels.index(top(scores)) for scores in found])
    ones = []
    for label in range(len(labels)):
        both = np.sum((wanted == label) & (given == label))
        either = np.sum(wanted == label) + np.sum(given == label)
        ones.append(2 * both / either if either else 0.0)
    return {"accuracy": float(np.mean(wanted == given)), "F1": float(np.mean(ones))}
