"""A contact sheet: thumbnails of a video's frames side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

COLUMNS, ROWS = 4, 3
WIDTH = 400
"""Width of one thumbnail, in pixels."""
MARGIN = 4
"""Space around each thumbnail, in pixels."""


def sheet_frames(frames: int) -> list[int]:
    """Numbers, from 1, of the frames that a sheet of a video with `frames` frames shows: evenly spread, the first and
    the last included."""
    count = min(frames, COLUMNS * ROWS)
    return [1 + round(index * (frames - 1) / max(count - 1, 1)) for index in range(count)]


def thumbnail(picture: Image.Image) -> Image.Image:
    """The picture resized to WIDTH."""
    return picture.resize((WIDTH, max(round(picture.height * WIDTH / picture.width), 1)), Image.Resampling.BILINEAR)


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Arrange pictures of one size row by row."""
    width, height = pictures[0].size
    columns = min(len(pictures), COLUMNS)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN), "white")
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN)))
    return sheet
