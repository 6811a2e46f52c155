"""Parts of responses that several tasks have."""

from __future__ import annotations

from msgspec import Struct


class Label(Struct, frozen=True):
    label: str
    score: float


class Box(Struct, frozen=True):
    """In pixels of the upright picture."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int
