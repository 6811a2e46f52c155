"""Boxes from a detector's outputs: batches, thresholds, suppression, and outputs that do not fit the manifest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hearth.errors import ManifestError
from hearth.models.heads import Detector
from hearth.models.manifest import Graph, Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth.tasks import detection
from hearth.tasks.detection import MAX_BOXES, decode_outputs, detect, select

HEAD = Detector("boxes")
PREPROCESSING = ImagePreprocessing(32, 32, "letterbox", (0.0,) * 3, (1.0,) * 3)


class Model:
    """A detector that finds one box per picture, whose centre's x is 10 plus the picture's place in its batch."""

    def __init__(
        self, batch: int | str = "batch", form: str = "boxes", labels: tuple[str, ...] = ("cat", "dog")
    ) -> None:
        graph = Graph("m.onnx", (Tensor("pixels", "float32", (batch, 3, 32, 32)),), ())
        self.manifest = SimpleNamespace(graphs={"main": graph}, labels=("cat", "dog"), model="m")
        self.preprocessing = PREPROCESSING
        self.head = Detector(form=form, strides=(8,))  # type: ignore[arg-type]
        self.batches: list[int] = []

    def run(self, feeds: dict[str, Any]) -> list[Any]:
        (pixels,) = feeds.values()
        self.batches.append(len(pixels))
        rows = [[[10 + number, 16, 4, 8, 0.1, 0.9]] for number in range(len(pixels))]
        return [np.array(rows, np.float32)]


def run(model: Model, count: int, size: tuple[int, int] = (64, 64)) -> list[detection.Detections]:
    return detect(model, [Image.new("RGB", size)] * count, 0.5, 0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(("batch", "batches"), [("batch", [8, 3]), (4, [4, 4, 4]), (1, [1] * 11)])
def test_pictures_are_run_in_batches(batch: int | str, batches: list[int]) -> None:
    model = Model(batch)
    results = run(model, 11)
    assert model.batches == batches
    size = batches[0]
    assert len(results) == 11
    for number, result in enumerate(results):
        x = 2 * (10 + number % size)
        assert result.boxes.tolist() == [[x - 4, 24, x + 4, 40]]  # in pixels of the picture, twice the canvas
        assert result.classes.tolist() == [1]
        assert result.scores.tolist() == pytest.approx([0.9])
    assert run(Model(), 0) == []


def test_outputs_that_do_not_fit_the_manifest_say_so() -> None:
    for shape in ((1, 5), (1, 3, 5), (1, 3, 8)):
        with pytest.raises(ManifestError, match=r"shape .*; 6 columns, or 7 with objectness are needed"):
            decode_outputs(Model(), np.zeros(shape, np.float32), 32, 32)  # type: ignore[arg-type]
    with pytest.raises(ManifestError, match="m: "):
        decode_outputs(Model(form="grid"), np.zeros((1, 3, 7), np.float32), 32, 32)  # type: ignore[arg-type]
    assert decode_outputs(Model(form="grid"), np.zeros((1, 16, 7), np.float32), 32, 32).shape == (1, 16, 7)  # type: ignore[arg-type]


def rows(*entries: tuple[float, ...]) -> Any:
    return np.array(entries, np.float32)


def test_boxes_are_selected_by_their_best_score() -> None:
    row = rows((0, 0, 10, 10, 0.2, 0.6), (20, 0, 30, 10, 0.5, 0.1), (40, 0, 50, 10, 0.4, 0.49))
    result = select(HEAD, row, 2, 0.5, 0.5)
    assert result.boxes.tolist() == [[0, 0, 10, 10], [20, 0, 30, 10]]
    assert result.classes.tolist() == [1, 0]
    assert result.scores.tolist() == pytest.approx([0.6, 0.5])


def test_objectness_multiplies_the_scores() -> None:
    result = select(HEAD, rows((0, 0, 10, 10, 0.5, 0.2, 0.9), (20, 0, 30, 10, 0.1, 0.9, 0.9)), 2, 0.4, 0.5)
    assert result.scores.tolist() == pytest.approx([0.45])
    assert result.classes.tolist() == [1]


def test_overlapping_boxes_of_a_class_are_dropped() -> None:
    row = rows((0, 0, 10, 10, 0.9, 0), (1, 0, 11, 10, 0.8, 0), (1, 0, 11, 10, 0, 0.7))
    assert select(HEAD, row, 2, 0.5, 0.5).scores.tolist() == pytest.approx([0.9, 0.7])
    assert select(HEAD, row, 2, 0.5, 0.9).scores.tolist() == pytest.approx([0.9, 0.8, 0.7])


@pytest.mark.parametrize(
    "box",
    [(0, 0, 0, 10), (0, 0, 10, 0), (10, 0, 0, 10), (np.nan, 0, 10, 10), (0, 0, np.inf, 10)],
)
def test_boxes_without_an_area_are_dropped(box: tuple[float, ...]) -> None:
    assert len(select(HEAD, rows((*box, 0.9, 0.1)), 2, 0.5, 0.5).boxes) == 0


def test_scores_that_are_no_numbers_are_dropped() -> None:
    assert len(select(HEAD, rows((0, 0, 10, 10, np.nan, np.nan)), 2, 0.0, 0.5).boxes) == 0


def test_a_picture_has_a_limited_number_of_boxes() -> None:
    many = rows(*((20 * number, 0, 20 * number + 10, 10, 0.9, 0.1) for number in range(MAX_BOXES + 50)))
    assert len(select(HEAD, many, 2, 0.5, 0.5).boxes) == MAX_BOXES
