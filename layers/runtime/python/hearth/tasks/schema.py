"""Parts of responses that several tasks share."""

from __future__ import annotations

from msgspec import Struct


class Label(Struct, frozen=True):
    label: str
    score: float


class Box(Struct, frozen=True):
    """Corners in pixels of the upright picture."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int
