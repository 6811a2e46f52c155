"""Outputs of models as people read them: bars for scores, times for words, a summary of a vector.

What a value looks like depends on its shape and its fields alone, so that a new task needs nothing here unless its
response has fields that no other has.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hearth_build.cli.output import aligned

BAR = 24
"""Columns of a bar for the score 1."""
SHORT = 6
"""Numbers of a vector that are printed."""
Record = dict[str, Any]


def readable(value: Any) -> list[str]:
    """The lines for an output of plain dictionaries, lists, texts, numbers and bytes."""
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, dict):
        for fields, lines in RECORDS.items():
            if value.keys() >= set(fields):
                return lines([value])
        return _fields(value)
    return [_scalar(value)]


def _list(values: list[Any]) -> list[str]:
    if not values:
        return ["nothing"]
    if all(isinstance(value, dict) for value in values):
        for fields, lines in RECORDS.items():
            if all(value.keys() >= set(fields) for value in values):
                return lines(values)
    if all(_is_vector(value) for value in values):
        return [_vector(value) for value in values]
    if len(values) == 1:
        return readable(values[0])
    lines = []
    for number, value in enumerate(values, 1):  # one for each input
        first, *others = readable(value)
        lines += [f"{number}  {first}", *(" " * (len(str(number)) + 2) + other for other in others)]
    return lines


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(each) in (int, float) for each in value)


def _vector(values: list[float]) -> str:
    shown = " ".join(f"{value:.4g}" for value in values[:SHORT])
    if len(values) <= SHORT:
        return shown
    return f"{len(values)} numbers, length {math.hypot(*values):.4g}: {shown} …"


def _fields(record: Record) -> list[str]:
    lines = []
    for name, value in record.items():
        nested = readable(value)
        lines += [f"{name}: {nested[0]}"] if len(nested) == 1 else [f"{name}:", *(f"  {line}" for line in nested)]
    return lines or ["nothing"]


def _scalar(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bars(name: str) -> Callable[[Sequence[Record]], list[str]]:
    """Lines with a bar for the score of each record, which the field `name` names."""

    def lines(records: Sequence[Record]) -> list[str]:
        rows = [(str(record[name]), f"{record['score']:.3f}", _bar(record["score"])) for record in records]
        return aligned(rows, right=(1,))

    return lines


def _bar(share: float) -> str:
    return "█" * round(BAR * min(max(share, 0), 1))


def _boxes(records: Sequence[Record]) -> list[str]:
    rows = []
    for record in records:
        box = record["box"]
        place = f"x {box['xmin']} to {box['xmax']}, y {box['ymin']} to {box['ymax']}"
        rows.append((record["label"], f"{record['score']:.3f}", place))
    return aligned(rows)


def _segments(records: Sequence[Record]) -> list[str]:
    rows = [(record["label"], f"{record['share']:.1%}", _bar(record["share"])) for record in records]
    return aligned(rows, right=(1,))


def _entities(records: Sequence[Record]) -> list[str]:
    rows = []
    for record in records:
        label = str(record.get("entity_group") or record.get("entity"))
        rows.append((record["word"], label, f"{record['score']:.3f}", f"{record['start']} to {record['end']}"))
    return aligned(rows)


def _texts(name: str) -> Callable[[Sequence[Record]], list[str]]:
    """The texts in the field `name`, numbered if there are several."""

    def lines(records: Sequence[Record]) -> list[str]:
        texts = [record[name].splitlines() or [""] for record in records]
        return texts[0] if len(texts) == 1 else _list(["\n   ".join(text) for text in texts])

    return lines


def _rankings(records: Sequence[Record]) -> list[str]:
    rows = [
        (str(record["index"]), f"{record['score']:.3f}", _bar(record["score"]), record.get("text") or "")
        for record in records
    ]
    return aligned(rows, right=(0, 1))


def _transcripts(records: Sequence[Record]) -> list[str]:
    lines = []
    for record in records:
        language = f" ({record['language']})" if record.get("language") else ""
        lines.append(f"{record['text']}{language}")
        times = [[f"{start:.2f}", f"{end:.2f}"] for start, end in (chunk["timestamp"] for chunk in record["chunks"])]
        words = [chunk["text"] for chunk in record["chunks"]]
        lines += aligned([[*time, word] for time, word in zip(times, words, strict=True)], right=(0, 1))
    return lines


def _tracks(records: Sequence[Record]) -> list[str]:
    lines = []
    for record in records:
        tracks = record["tracks"]
        size = f"{record['width']} x {record['height']}"
        lines.append(f"{record['frames']} frames, {record['rate']:.4g} a second, {size}; {len(tracks)} tracks")
        if not record["complete"]:
            lines.append(f"not the whole film: {record.get('reason', '')}")
        rows = []
        for track in tracks:
            first, last = track["sightings"][0], track["sightings"][-1]
            times = f"{first['time']:.2f} s to {last['time']:.2f} s"
            rows.append((str(track["id"]), track["label"], times, f"{len(track['sightings'])} frames"))
        lines += aligned(rows, right=(0, 3))
    return lines


def _annotated(name: str) -> Callable[[Sequence[Record]], list[str]]:
    """What was drawn into a picture; the picture itself is not for a terminal."""
    return lambda records: [line for record in records for line in readable(record[name])]


RECORDS: dict[tuple[str, ...], Callable[[Sequence[Record]], list[str]]] = {
    ("boxes", "picture"): _annotated("boxes"),
    ("segments", "picture"): _annotated("segments"),
    ("label", "score", "box"): _boxes,
    ("label", "share"): _segments,
    ("label", "score"): _bars("label"),
    ("sequence", "score"): _bars("sequence"),
    ("answer", "score"): _bars("answer"),
    ("word", "start", "end", "score"): _entities,
    ("word", "score"): _bars("word"),
    ("index", "score"): _rankings,
    ("text", "chunks"): _transcripts,
    ("frames", "tracks"): _tracks,
    ("generated_text",): _texts("generated_text"),
    ("translation_text",): _texts("translation_text"),
    ("summary_text",): _texts("summary_text"),
    ("text",): _texts("text"),
}
"""Fields that a record has -> its lines. The first row that fits applies."""
