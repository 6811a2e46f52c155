"""Outputs of models as people read them."""

from __future__ import annotations

from typing import Any

import pytest

from hearth_build.cli.readable import BAR, readable

BOX = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}
SIGHTINGS = [{"frame": frame, "time": frame / 25, "score": 0.9, "box": BOX} for frame in (0, 5)]
FILM = {"frames": 25, "rate": 25.0, "width": 64, "height": 48, "complete": False, "reason": "it is cut off"}


@pytest.mark.parametrize(
    ("output", "lines"),
    [
        (
            [[{"label": "good", "score": 0.75}, {"label": "不好", "score": 0.25}]],
            ["good  0.750  " + "█" * (BAR * 3 // 4), "不好  0.250  " + "█" * (BAR // 4)],
        ),
        (
            [[{"label": "a", "score": 1.0}], [{"label": "b", "score": 0.0}]],
            ["1  a  1.000  " + "█" * BAR, "2  b  0.000"],
        ),
        (
            [{"word": "Berlin", "start": 3, "end": 9, "score": 0.5, "entity_group": "LOC"}],
            ["Berlin  LOC  0.500  3 to 9"],
        ),
        ([[3.0, 4.0] + [0.0] * 14], ["16 numbers, length 5: 3 4 0 0 0 0 …"]),
        ([0.25, 0.5], ["1  0.25", "2  0.5"]),
        ([[1.5, 2.5]], ["1.5 2.5"]),
        (["yes", "no"], ["1  yes", "2  no"]),
        ([{"label": "cat", "score": 0.5, "box": BOX}], ["cat  0.500  x 1 to 30, y 2 to 40"]),
        ({"boxes": [], "picture": b"jpeg"}, ["nothing"]),
        ([{"label": "sky", "score": None, "share": 0.5, "mask": b"png"}], ["sky  50.0%  " + "█" * (BAR // 2)]),
        ({"answer": "42", "score": 1.0, "start": 0, "end": 2}, ["42  1.000  " + "█" * BAR]),
        (
            {
                "text": "one two",
                "chunks": [{"text": "one", "timestamp": [0.0, 0.5]}, {"text": "two", "timestamp": [9.5, 10.0]}],
            },
            ["one two", "0.00   0.50  one", "9.50  10.00  two"],
        ),
        ({"text": "one"}, ["one"]),
        ([{"translation_text": "zwei Kinder"}], ["zwei Kinder"]),
        ([{"generated_text": "a\nb"}], ["a", "b"]),
        ([{"summary_text": "x"}, {"summary_text": "y"}], ["1  x", "2  y"]),
        (
            {**FILM, "tracks": [{"id": 1, "label": "car", "sightings": SIGHTINGS}]},
            [
                "25 frames, 25 a second, 64 x 48; 1 tracks",
                "not the whole film: it is cut off",
                "1  car  0.00 s to 0.20 s  2 frames",
            ],
        ),
        ([{"index": 1, "score": 0.5}], ["1  0.500  " + "█" * (BAR // 2)]),
        ({"logits": [[0.5, 1.5]], "empty": []}, ["logits: 0.5 1.5", "empty: nothing"]),
    ],
)
def test_an_output_is_readable(output: Any, lines: list[str]) -> None:
    assert readable(output) == lines


def test_unknown_fields_are_printed_by_name_and_bytes_by_their_number() -> None:
    assert readable({"picture": b"1234", "nested": {"a": [{"label": "x", "score": 0.5}]}}) == [
        "picture: 4 bytes",
        f"nested: a: x  0.500  {'█' * (BAR // 2)}",
    ]
