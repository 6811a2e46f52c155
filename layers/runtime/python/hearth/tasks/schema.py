"""Parts of responses that several tasks share."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hearth.ops.activations import Array, top_indices


class Label(Struct, frozen=True):
    label: str
    score: float


def best_labels(scores: Array, labels: Sequence[str], count: int) -> list[Label]:
    """The `count` likeliest of `labels` by their (labels,) scores, likeliest first."""
    return [Label(labels[index], float(scores[index])) for index in top_indices(scores, count)]


class Box(Struct, frozen=True):
    """Corners in pixels of the upright picture."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int
