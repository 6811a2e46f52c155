"""Distances between two answers, for golden answers and shadows."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

Scores = dict[str, float]


def score_distance(first: Scores, second: Scores) -> float:
    """The largest difference of a score; a label missing in one answer has at most that answer's lowest score."""
    if not first or not second:
        return 0.0 if first == second else 1.0
    lowest_first, lowest_second = min(first.values()), min(second.values())
    distances = []
    for label in first.keys() | second.keys():
        if label not in second:
            distances.append(max(0.0, first[label] - lowest_second))
        elif label not in first:
            distances.append(max(0.0, second[label] - lowest_first))
        else:
            distances.append(abs(first[label] - second[label]))
    return max(distances)


def array_distance(golden: Any, prediction: Any) -> float:
    """The largest difference of a number, in units of the largest number if that is above 1; 1 for different texts."""
    first, second = list(leaves(golden)), list(leaves(prediction))
    if len(first) != len(second):
        return float("inf")
    largest = max((abs(item) for item in first if not isinstance(item, str | None)), default=0.0)
    worst = 0.0
    for expected, actual in zip(first, second, strict=True):
        if isinstance(expected, str | None) or isinstance(actual, str | None):
            worst = max(worst, float(expected != actual))
        else:
            worst = max(worst, abs(expected - actual) / max(largest, 1.0))
    return worst


def leaves(value: Any) -> Iterator[Any]:
    """The numbers and texts in nested lists and objects; the keys of objects are texts too."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from leaves(value[name])
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def text_distance(golden: str, prediction: str) -> float:
    return 1 - difflib.SequenceMatcher(None, golden, prediction, autojunk=False).ratio()
