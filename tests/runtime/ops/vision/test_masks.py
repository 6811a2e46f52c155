"""Masks: classes of pixels as torch resizes them, run lengths, PNG, drawing."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from hearth import deadline
from hearth.errors import DeadlineExceeded
from hearth.ops.vision.drawing import colour
from hearth.ops.vision.masks import classify_pixels, draw_classes, run_lengths, to_png


@pytest.fixture(autouse=True)
def no_deadline() -> Iterator[None]:
    token = deadline._end.set(None)
    yield
    deadline._end.reset(token)


@pytest.mark.parametrize("size", [(7, 5), (3, 4), (40, 30), (1, 1)])
def test_pixels_have_the_class_of_torchs_interpolation(size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")
    logits = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    width, height = size
    resized = torch.nn.functional.interpolate(torch.from_numpy(logits)[None], (height, width), mode="bilinear")
    assert (classify_pixels(logits, width, height) == resized[0].argmax(0).numpy()).mean() > 0.99


def test_a_large_mask_ends_at_the_deadline() -> None:
    deadline.set_seconds(-1)
    with pytest.raises(DeadlineExceeded):
        classify_pixels(np.zeros((2, 4, 4), np.float32), 100, 100)


@pytest.mark.parametrize(
    ("mask", "lengths"),
    [
        ([[0, 1], [0, 1]], [2, 2]),
        ([[1, 0], [0, 0]], [0, 1, 3]),
        ([[1, 1], [1, 1]], [0, 4]),
        ([[0, 0]], [2]),
        ([[0, 1, 0]], [1, 1, 1]),
    ],
)
def test_runs_are_counted_column_by_column_from_zeros(mask: list[list[int]], lengths: list[int]) -> None:
    assert run_lengths(np.array(mask)) == lengths
    assert sum(lengths) == np.array(mask).size


def test_a_png_is_black_and_white() -> None:
    picture = Image.open(io.BytesIO(to_png(np.array([[True, False, True]]))))
    assert (picture.format, picture.size) == ("PNG", (3, 1))
    assert np.asarray(picture).tolist() == [[255, 0, 255]]


def test_classes_are_tinted_in_their_colours() -> None:
    classes = np.array([[0, 2]])
    drawn = draw_classes(Image.new("RGB", (2, 1), "white"), classes, [0, 2])
    for x, number in enumerate((0, 2)):
        expected = [(255 + part) // 2 for part in colour(number)]
        assert np.abs(np.array(drawn.getpixel((x, 0))) - expected).max() <= 1
