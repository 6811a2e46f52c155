"""Inputs as parts that can be left out: the words of texts, the tiles of a picture, the segments of a recording, the
columns of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.ops import attribution
from hearth.ops.attribution import Floats, Indices, Masks, split_grid, split_sequence
from hearth.ops.shapley import shapley
from hearth.tasks.schema import (
    Attribution,
    Box,
    ColumnAttribution,
    SegmentAttribution,
    TileAttribution,
    Value,
    WordAttribution,
)

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 8
"""Largest number of parts of the input in one call of the task's function."""
COPIES = {"words": BATCH, "tiles": BATCH, "segments": 2, "columns": 512}
"""How many times the memory of one answer an explanation takes at most, by the kind of its parts."""
GRID = 16
"""Number of tiles along the longer side of a picture."""
EMPTY_TEXT = "."
"""What stands for a text without any of its words; tasks refuse a text that is empty."""
SEGMENT_SECONDS, MAX_SEGMENTS = 0.1, 128
"""Shortest segment of a recording, and the number from which segments are longer."""
FADE_SECONDS = 0.01
"""Duration in which the sound fades at the edge of a segment that is left out: a sudden edge is a click."""
ROWS = 512
"""Rows of a table in one call of the task's function."""
WORD = re.compile(
    r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]|[^\W\u2e80-\ud7af]+(?:['’]\w+)*|[^\w\s]"
)
"""A Chinese, Japanese or Korean character; a word; a punctuation mark."""


class Parts(Protocol):
    """An input as units that can be left out."""

    runs: int
    """Number of runs by default."""
    count: int
    batch: int
    """Largest number of inputs to be scored together."""

    def select(self, mask: Masks) -> Any:
        """The input with only the units of a mask, (units,)."""

    def attribute(
        self, score: Callable[[Masks], Floats], runs: int, is_late: Callable[[], bool]
    ) -> attribution.Attribution:
        """The values of the units, by the method that suits them."""

    def attributions(self, values: Floats, errors: Floats) -> Sequence[Attribution]:
        """The units with their values and errors, (units,) each."""


class Texts(NamedTuple):
    """An input of one or several texts by their field of `inputs`, which is empty where the input is a text itself."""

    fields: Mapping[str, str]
    build: Callable[[Mapping[str, str]], Any]
    """The texts of all fields -> the input."""
    kept: str = ""
    """A text that is never left out, such as a mask token."""


class Row(NamedTuple):
    """A row of a table, and the rows whose values stand for columns that are left out."""

    content: Mapping[str, Value]
    reference: Sequence[Mapping[str, Value]]


class _Sequence:
    """Units in a line."""

    count: int

    def attribute(
        self, score: Callable[[Masks], Floats], runs: int, is_late: Callable[[], bool]
    ) -> attribution.Attribution:
        if 2**self.count <= runs:
            return shapley(score, self.count, runs)
        return attribution.attribute(score, split_sequence, self.count, runs, is_late)


class Words(_Sequence):
    """Words that are left out with the space before them."""

    runs = 40

    def __init__(self, texts: Texts, model: Model[Any, Any]) -> None:
        self._texts = texts
        self._spans = {name: _word_spans(text, texts.kept) for name, text in texts.fields.items()}
        self.count = sum(map(len, self._spans.values()))
        if not self.count:
            raise BadRequest("The text has no words that could be explained")
        self.batch = min(BATCH, model.manifest.limits.batch)

    def select(self, mask: Masks) -> Any:
        selected, kept = {}, iter(mask.tolist())
        for name, text in self._texts.fields.items():
            pieces, end = [], 0
            for start, stop in self._spans[name]:
                pieces.append(text[end : stop if next(kept) else start])
                end = stop
            rest = "".join([*pieces, text[end:]])
            selected[name] = rest if rest.strip() else EMPTY_TEXT
        return self._texts.build(selected)

    def attributions(self, values: Floats, errors: Floats) -> list[WordAttribution]:
        spans = [(name, start, stop) for name, words in self._spans.items() for start, stop in words]
        return [
            WordAttribution(self._texts.fields[name][start:stop], start, stop, value, error, name)
            for (name, start, stop), value, error in zip(spans, values.tolist(), errors.tolist(), strict=True)
        ]


def _word_spans(text: str, kept: str) -> list[tuple[int, int]]:
    """Start and end of each word outside of the occurrences of `kept`."""
    spans, start = [], 0
    for piece in text.split(kept) if kept else [text]:
        spans += [(start + match.start(), start + match.end()) for match in WORD.finditer(piece)]
        start += len(piece) + len(kept)
    return spans


def shrink(data: bytes, model: Model[Any, Any]) -> tuple[Image, tuple[int, int]]:
    """A picture as its parts have it, and its own size.

    Twice the model's input is enough for its scores, and keeps hundreds of copies of a large photo cheap. Raises
    BadRequest, PayloadTooLarge, UnsupportedMedia.
    """
    from hearth.ops.vision.images import MAX_PIXELS, open_image

    picture = open_image(data, model.manifest.limits.pixels or MAX_PIXELS)
    size, edge = picture.size, 2 * max(model.preprocessing.width, model.preprocessing.height)
    picture.thumbnail((edge, edge))
    return picture, size


class Tiles:
    """Tiles of a picture, whose mean colour takes the place of those that are left out."""

    runs = 100

    def __init__(self, data: bytes, model: Model[Any, Any]) -> None:
        from hearth.ops.vision.images import MAX_PIXELS

        limits = model.manifest.limits
        picture, self._size = shrink(data, model)
        self._picture: Image = picture
        longer = max(picture.size)
        self._columns, self._rows = (max(1, min(side, round(GRID * side / longer))) for side in picture.size)
        self.count = self._columns * self._rows
        pixels = limits.pixels or MAX_PIXELS
        self.batch = max(1, min(BATCH, limits.batch, pixels // (picture.width * picture.height)))
        self._background = tuple(round(mean) for mean in np.asarray(picture).reshape(-1, 3).mean(0))

    def select(self, mask: Masks) -> bytes:
        import io

        from PIL import Image

        tiles = Image.fromarray(mask.reshape(self._rows, self._columns)).resize(
            self._picture.size, Image.Resampling.NEAREST
        )
        part = Image.new("RGB", self._picture.size, self._background)
        part.paste(self._picture, mask=tiles)
        file = io.BytesIO()
        part.save(file, "BMP")  # the fastest format to write and to read
        return file.getvalue()

    def attribute(
        self, score: Callable[[Masks], Floats], runs: int, is_late: Callable[[], bool]
    ) -> attribution.Attribution:
        split: Callable[[Indices], tuple[Indices, Indices]] = split_grid(self._columns)
        return attribution.attribute(score, split, self.count, runs, is_late)

    def attributions(self, values: Floats, errors: Floats) -> list[TileAttribution]:
        columns, rows = (
            np.linspace(0, side, count + 1).round().astype(int).tolist()
            for side, count in zip(self._size, (self._columns, self._rows), strict=True)
        )
        boxes = (Box(left, top, right, bottom) for top, bottom in pairwise(rows) for left, right in pairwise(columns))
        return [
            TileAttribution(box, value, error)
            for box, value, error in zip(boxes, values.tolist(), errors.tolist(), strict=True)
        ]


class Segments(_Sequence):
    """Segments of a recording, of the same duration, which are silenced where they are left out."""

    runs = 60
    batch = 1

    def __init__(self, data: bytes, model: Model[Any, Any]) -> None:
        from hearth.models.preprocessing import MAX_SECONDS
        from hearth.tasks.audio_file import read_audio

        self._rate = model.preprocessing.rate
        self._samples = read_audio(data, self._rate, model.manifest.limits.seconds or MAX_SECONDS)
        seconds = len(self._samples) / self._rate
        self.count = max(1, min(MAX_SEGMENTS, int(seconds / SEGMENT_SECONDS)))
        self._edges = np.linspace(0, len(self._samples), self.count + 1).round().astype(int)

    def select(self, mask: Masks) -> bytes:
        """As WAV of the model's rate, with the samples as they are."""
        from hearth.ops.audio.wav import float_wav

        if mask.all():
            return float_wav(self._samples, self._rate)
        gain = np.repeat(mask.astype(np.float32), np.diff(self._edges))
        half = int(FADE_SECONDS * self._rate / 2)
        for edge in self._edges[1:-1][mask[1:] != mask[:-1]].tolist():
            first, last = max(edge - half, 0), min(edge + half, len(gain))
            gain[first:last] = np.linspace(gain[first], gain[last - 1], last - first)
        return float_wav(self._samples * gain, self._rate)

    def attributions(self, values: Floats, errors: Floats) -> list[SegmentAttribution]:
        times = pairwise((self._edges / self._rate).round(3).tolist())
        return [
            SegmentAttribution(start, end, value, error)
            for (start, end), value, error in zip(times, values.tolist(), errors.tolist(), strict=True)
        ]


class Columns:
    """Columns of a row. A column that is left out has the values of the reference rows: the score is their mean."""

    runs = 1024

    def __init__(self, row: Row, model: Model[Any, Any]) -> None:
        self._row = row
        self._names = [column.name for column in model.preprocessing.columns]
        self.count = len(self._names)
        self.batch = max(1, min(ROWS, model.manifest.limits.batch) // len(row.reference))

    def select(self, mask: Masks) -> list[dict[str, Value]]:
        """A row for each reference row."""
        kept = {
            name: self._row.content[name] for name, is_kept in zip(self._names, mask.tolist(), strict=True) if is_kept
        }
        return [{**reference, **kept} for reference in self._row.reference]

    def attribute(
        self, score: Callable[[Masks], Floats], runs: int, is_late: Callable[[], bool]
    ) -> attribution.Attribution:
        return shapley(score, self.count, runs, is_late)

    def attributions(self, values: Floats, errors: Floats) -> list[ColumnAttribution]:
        return [
            ColumnAttribution(name, self._row.content[name], value, error)
            for name, value, error in zip(self._names, values.tolist(), errors.tolist(), strict=True)
        ]


PARTS: dict[str, Callable[[Any, Model[Any, Any]], Parts]] = {
    "words": Words,
    "tiles": Tiles,
    "segments": Segments,
    "columns": Columns,
}
