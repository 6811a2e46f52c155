"""Parts of responses that several tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

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


Value = str | int | float | bool | None
"""A value of a table."""


class ExplainOptions(Struct, frozen=True, forbid_unknown_fields=True):
    target: Annotated[str, Meta(max_length=1000)] | None = None
    """What is explained: a label, a word of a written answer, the number of a text or a sentence from 0; by default
    the best label, or the whole answer."""
    runs: Annotated[int, Meta(ge=4, le=5000)] | None = None
    """Largest number of parts of the input to score: more show finer parts or have smaller errors; by default 40 for
    texts, 60 for recordings, 100 for pictures and 1024 for tables."""
    reference: Annotated[list[dict[str, Value]], Meta(min_length=1, max_length=100)] | None = None
    """For a table: rows whose values stand for the columns that are left out; by default usual values of the table
    that the model was evaluated with."""


class Explainable(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of tasks whose predictions can be explained."""

    explain: bool | ExplainOptions = False
    """Whether the response also says which parts of the input made the score."""


class WordAttribution(Struct, frozen=True, tag="word", omit_defaults=True):
    text: str
    start: int
    """Offset in the text, in characters."""
    end: int
    value: float
    """What the word adds to the score."""
    error: float
    """How uncertain the value is."""
    field: str = ""
    """The field of `inputs` with the word, for inputs of several texts."""


class TileAttribution(Struct, frozen=True, tag="tile"):
    box: Box
    value: float
    """What the tile adds to the score."""
    error: float
    """How uncertain the value is."""


class SegmentAttribution(Struct, frozen=True, tag="segment"):
    start: float
    """Seconds."""
    end: float
    value: float
    """What the sound between `start` and `end` adds to the score."""
    error: float
    """How uncertain the value is."""


class ColumnAttribution(Struct, frozen=True, tag="column"):
    column: str
    content: Value
    """The value in the row."""
    value: float
    """What the column adds to the score."""
    error: float
    """How uncertain the value is."""


Attribution = WordAttribution | TileAttribution | SegmentAttribution | ColumnAttribution
Measure = Literal["score", "score times overlap", "prediction", "log-probability", "similarity"]


class OutputAttribution(Struct, frozen=True):
    """A word of a written answer. Its values sum to `score - base_score`."""

    text: str
    start: int
    """Offset in the answer, in characters."""
    end: int
    score: float
    """Its log-probability."""
    base_score: float
    values: Sequence[float]
    """What each of the parts adds to it, in their order."""


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Which parts of an input made a score. The values sum to `score - base_score`."""

    method: str
    target: str
    """What is explained, such as a label or the written answer."""
    measure: Measure
    """What the score is."""
    score: float
    base_score: float
    """The score of the input without any of its parts."""
    runs: int
    """Number of parts of the input that were scored."""
    error: float
    """Sum of the errors of all parts."""
    parts: Sequence[Attribution]
    outputs: Sequence[OutputAttribution] = ()
    """The words of a written answer."""


class Explained(Struct, frozen=True):
    """The response to a request with `explain`."""

    predictions: Any
    """The response without `explain`."""
    explanation: Explanation
