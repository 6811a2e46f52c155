from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.image_segmentation import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

LABELS = ("road", "sky", "car")


def png(rows: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.array(rows, np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(autouse=True)
def finds_a_road_below_the_sky(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = {"sky": [[255, 255], [0, 0]], "road": [[0, 0], [255, 255]]}
    output = [SimpleNamespace(label=label, mask=png(mask), share=0.5) for label, mask in masks.items()]
    answer_with(monkeypatch, app, lambda request: output)


def test_pixels_are_compared_label_by_label() -> None:
    metrics = EVALUATION.measure(model(labels=LABELS), [Example(b"", png([[1, 1], [0, 1]]))])
    assert metrics == {"mIoU": pytest.approx((1 / 2 + 2 / 3) / 2), "pixel accuracy": 3 / 4}


def test_pixels_of_no_label_are_not_counted() -> None:
    metrics = EVALUATION.measure(model(labels=LABELS), [Example(b"", png([[1, 1], [0, 255]]))])
    assert metrics == {"mIoU": 1.0, "pixel accuracy": 1.0}


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match=r"A mask has the size \(1, 2\), its picture \(2, 2\)"):
        EVALUATION.measure(model(labels=LABELS), [Example(b"", png([[1, 1]]))])


def test_pictures_are_read_with_their_masks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a folder of pictures"):
        EVALUATION.read(tmp_path / "missing")
    (tmp_path / "a.jpg").write_bytes(b"picture")
    with pytest.raises(DataError, match=r"a\.jpg has no .*masks/a\.png"):
        EVALUATION.read(tmp_path)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.png").write_bytes(b"mask")
    (tmp_path / "._a.jpg").write_bytes(b"of macOS")
    assert EVALUATION.read(tmp_path) == [Example(b"picture", b"mask")]


def test_outputs_are_compared_by_the_share_of_each_label() -> None:
    shares = EVALUATION.predict(model(), b"")
    assert EVALUATION.difference(shares, {"sky": 0.7, "car": 0.3}) == 0.5
    assert EVALUATION.summarize({"sky": 0.7, "car": 0.3}) == "sky"
