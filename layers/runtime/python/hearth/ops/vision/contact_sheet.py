"""A contact sheet: small pictures of a film side by side."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

COLUMNS, ROWS = 4, 3
WIDTH = 400
"""Pixels of one picture."""
MARGIN = 4


def moments(frames: int) -> list[int]:
    """Which of so many frames, from 1, a sheet shows: as many as it holds, evenly spread, the first and last among
    them."""
    most = min(frames, COLUMNS * ROWS)
    return [1 + round(place * (frames - 1) / max(most - 1, 1)) for place in range(most)]


def small(picture: Image.Image) -> Image.Image:
    """A picture in a sheet's width."""
    return picture.resize((WIDTH, max(round(picture.height * WIDTH / picture.width), 1)), Image.Resampling.BILINEAR)


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Row by row; all pictures are of one size."""
    width, height = pictures[0].size
    columns = min(len(pictures), COLUMNS)
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + MARGIN) + MARGIN, rows * (height + MARGIN) + MARGIN), "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        sheet.paste(picture, (MARGIN + column * (width + MARGIN), MARGIN + row * (height + MARGIN)))
    return sheet
