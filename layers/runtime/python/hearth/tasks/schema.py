"""Parts of responses that several tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct


class Label(Struct, frozen=True):
    label: str
    score: float


class Box(Struct, frozen=True):
    """Corners in pixels of the upright picture."""

    xmin: int
    ymin: int
    xmax: int
    ymax: int


class ExplainOptions(Struct, frozen=True, forbid_unknown_fields=True):
    target: Annotated[str, Meta(max_length=1000)] | None = None
    """The label to explain; by default the best one."""
    runs: Annotated[int, Meta(ge=4, le=1000)] | None = None
    """Largest number of parts of the input to score: more show finer parts; by default 40 for texts, 100 for
    pictures."""


class Explainable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of tasks whose predictions can be explained."""

    explain: bool | ExplainOptions = False
    """Whether the response also says which parts of the input made the score."""


class WordAttribution(Struct, frozen=True, tag="word"):
    text: str
    start: int
    """Offset in the text, in characters."""
    end: int
    value: float
    """What the word adds to the score."""
    error: float
    """How far the value depends on the other words."""


class TileAttribution(Struct, frozen=True, tag="tile"):
    box: Box
    value: float
    """What the tile adds to the score."""
    error: float
    """How far the value depends on the other tiles."""


class Explanation(Struct, frozen=True):
    """Which parts of an input made a score. The values sum to `score - base_score`."""

    method: str
    target: str
    """The label that is explained."""
    score: float
    base_score: float
    """The score of the input without any of its parts."""
    runs: int
    """Number of parts of the input that were scored."""
    error: float
    """Sum of the errors of all parts."""
    parts: Sequence[WordAttribution | TileAttribution]


class Explained(Struct, frozen=True):
    """The response to a request with `explain`."""

    predictions: Any
    """The response without `explain`."""
    explanation: Explanation
