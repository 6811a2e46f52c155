"""Contact sheets: which frames they show, and where."""

from __future__ import annotations

import pytest
from PIL import Image

from hearth.ops.vision.contact_sheet import MARGIN, WIDTH, contact_sheet, sheet_frames, thumbnail


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        (0, []),
        (1, [1]),
        (2, [1, 2]),
        (12, list(range(1, 13))),
        (23, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23]),
        (1000, [1, 92, 183, 273, 364, 455, 546, 637, 728, 818, 909, 1000]),
    ],
)
def test_frames_are_evenly_spread(frames: int, numbers: list[int]) -> None:
    assert sheet_frames(frames) == numbers


@pytest.mark.parametrize(("size", "height"), [((800, 600), 300), ((100, 50), 200), ((4000, 1), 1)])
def test_a_thumbnail_keeps_the_shape(size: tuple[int, int], height: int) -> None:
    assert thumbnail(Image.new("RGB", size)).size == (WIDTH, height)


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 3, 1), (4, 4, 1), (5, 4, 2), (12, 4, 3)])
def test_pictures_are_arranged_row_by_row(count: int, columns: int, rows: int) -> None:
    pictures = [Image.new("RGB", (10, 6), (number, 0, 0)) for number in range(count)]
    sheet = contact_sheet(pictures)
    assert sheet.size == (columns * (10 + MARGIN) + MARGIN, rows * (6 + MARGIN) + MARGIN)
    assert sheet.getpixel((0, 0)) == sheet.getpixel((sheet.width - 1, sheet.height - 1)) == (255, 255, 255)
    for number in range(count):
        x = MARGIN + number % columns * (10 + MARGIN)
        y = MARGIN + number // columns * (6 + MARGIN)
        assert sheet.getpixel((x, y)) == sheet.getpixel((x + 9, y + 5)) == (number, 0, 0)
        assert sheet.getpixel((x - 1, y)) == sheet.getpixel((x, y - 1)) == (255, 255, 255)
