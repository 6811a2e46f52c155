"""Preprocessing of a manifest: its kinds, and pictures whose numbers contradict each other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearth.models.preprocessing import Column, ImagePreprocessing, Preprocessing, TablePreprocessing, TextPreprocessing

PICTURE: dict[str, Any] = {
    "kind": "image",
    "width": 224,
    "height": 224,
    "resize": "shortest-edge-center-crop",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}


def parse(document: dict[str, Any]) -> Preprocessing:
    return msgspec.convert(document, Preprocessing)


def test_each_kind_is_known_by_its_name() -> None:
    assert parse({"kind": "text", "tokenizer": "t.json", "max_tokens": 8}) == TextPreprocessing("t.json", 8)
    table = {"kind": "table", "columns": [{"name": "age", "input": "x"}]}
    assert parse(table) == TablePreprocessing((Column("age", "x"),))
    picture = parse(PICTURE)
    assert isinstance(picture, ImagePreprocessing)
    assert (picture.scale, picture.channels, picture.resample) == (255.0, "RGB", "bilinear")
    with pytest.raises(msgspec.ValidationError, match="smell"):
        parse({"kind": "smell"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": "L"}, "need 1 numbers for L"),
        ({"mean": [0.5]}, "need 3 numbers for RGB"),
        ({"std": [0.5, 0.0, 0.5]}, "none in `std` may be 0"),
        ({"before_crop": [256, 256]}, "has 2 numbers, which does not fit shortest-edge-center-crop"),
        ({"resize": "stretch", "before_crop": [256]}, "has 1 numbers, which does not fit stretch"),
        ({"resize": "letterbox", "before_crop": [256]}, "does not fit letterbox"),
    ],
)
def test_contradicting_numbers_of_a_picture_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        parse({**PICTURE, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"channels": "L", "mean": [0.5], "std": [0.5]},
        {"before_crop": [256]},
        {"resize": "stretch", "before_crop": [256, 280]},
        {"resize": "keep-aspect"},
    ],
)
def test_numbers_that_fit_are_accepted(change: dict[str, Any]) -> None:
    assert isinstance(parse({**PICTURE, **change}), ImagePreprocessing)
