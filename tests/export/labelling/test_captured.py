"""Captured inputs become data that `hearth train` reads."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from hearth.errors import BadRequest
from hearth.storage.open import open_store
from hearth.tasks.answers import Captured
from hearth_build.data import labelled_images, labelled_texts
from hearth_build.labelling.captured import export, read_items, save_label


def put(folder: Path, captured: Captured, day: str = "2026-11-30") -> None:
    path = folder / captured.model / captured.version / day / f"{captured.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(captured))


def text(name: str, text: str, good: float) -> Captured:
    scores = {"good": good, "bad": 1 - good}
    return Captured(name, "2026-11-30T00:00:00", "m", "1", "text-classification", text, b"", "good", good, scores)


def test_doubtful_texts_come_first_and_labelled_ones_are_exported(tmp_path: Path) -> None:
    for captured in (text("a-0", "sure", 0.99), text("b-0", "unsure", 0.51), text("c-0", "so so", 0.7)):
        put(tmp_path / "captured", captured)
    (tmp_path / "captured/m/1/2026-11-30/broken.json").write_text("{")
    store = open_store((tmp_path / "captured").as_uri())
    items = read_items(store, "m")
    assert [item.captured.text for item in items] == ["unsure", "so so", "sure"]
    with pytest.raises(BadRequest, match="Nothing is labelled"):
        export(items, tmp_path / "data.jsonl")
    save_label(store, items[0], "bad")
    assert [item.label for item in read_items(store, "m")] == ["bad", "", ""]
    assert export(read_items(store, "m"), tmp_path / "data.jsonl") == 1
    (example,) = labelled_texts.read(tmp_path / "data.jsonl")
    assert (example.inputs, example.expected) == ("unsure", "bad")
    with pytest.raises(BadRequest, match="jsonl"):
        export(items, tmp_path / "data.csv")


def test_pictures_are_exported_by_label(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG")
    put(
        tmp_path / "captured",
        Captured("p-0", "2026-11-30T00:00:00", "m", "2", "image-classification", "", buffer.getvalue(), "red", 0.4),
    )
    store = open_store((tmp_path / "captured").as_uri())
    (item,) = read_items(store, "m")
    save_label(store, item, "a/b")
    assert export([item], tmp_path / "pictures") == 1
    (example,) = labelled_images.read(tmp_path / "pictures")
    assert example.expected == "a_b"
