"""Boxes and captions lie on the picture, whatever their place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from hearth.ops.vision.drawing import colour, draw_boxes, to_jpeg


def test_colours_are_told_apart_and_stay() -> None:
    colours = [colour(number) for number in range(8)]
    assert len(set(colours)) == 8
    assert colour(3) == colours[3]
    assert all(max(rgb) == 217 and min(rgb) < 40 for rgb in colours)


def test_a_box_has_the_colour_of_its_number_and_the_first_is_on_top() -> None:
    picture = Image.new("RGB", (200, 100), "black")
    draw_boxes(picture, [(20, 40, 120, 90), (20, 40, 120, 90)], ["a", "b"], [1, 2])
    assert picture.getpixel((120, 60)) == picture.getpixel((60, 90)) == colour(1)
    assert picture.getpixel((60, 60)) == (0, 0, 0)
    assert colour(2) not in {picture.getpixel((x, 90)) for x in range(20, 121)}


@pytest.mark.parametrize(
    "box", [(0, 0, 50, 50), (190, 90, 199, 99), (0, 0, 199, 99), (10, 10, 5, 5), (150, 2, 199, 60)]
)
def test_a_caption_is_always_on_the_picture(box: tuple[float, float, float, float]) -> None:
    picture = Image.new("RGB", (200, 100), "black")
    draw_boxes(picture, [box], ["caption"], [1])
    pixels = np.asarray(picture)
    assert (pixels == colour(1)).all(axis=2).sum() > 200
    assert (pixels > 200).all(axis=2).any()


def test_lines_grow_with_the_picture() -> None:
    picture = Image.new("RGB", (1280, 640), "black")
    draw_boxes(picture, [(100, 300, 1200, 600)], [""], [1])
    column = [picture.getpixel((600, y)) == colour(1) for y in range(560, 640)]
    assert sum(column) == 1280 // 320


def test_a_jpeg_is_readable() -> None:
    assert Image.open(io.BytesIO(to_jpeg(Image.new("RGB", (8, 4))))).size == (8, 4)
