"""Boxes with captions on a picture."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]


def colour(number: int) -> tuple[int, int, int]:
    """A strong colour for a class or a track; neighbours in number are far apart in hue (golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_boxes(picture: Image.Image, boxes: Sequence[Box], captions: Sequence[str], numbers: Sequence[int]) -> None:
    """Draw (x1, y1, x2, y2) in pixels onto an RGB picture, the first on top; boxes of a number share a colour."""
    canvas = ImageDraw.Draw(picture)
    unit = max(picture.width, picture.height)
    line, font = max(unit // 320, 1), ImageFont.load_default(max(unit / 45, 10))
    for (left, top, right, bottom), caption, number in reversed(list(zip(boxes, captions, numbers, strict=True))):
        ground = colour(number)
        canvas.rectangle((left, top, max(right, left), max(bottom, top)), outline=ground, width=line)
        _, _, width, height = (int(edge) for edge in canvas.textbbox((0, 0), caption, font))
        x = max(min(left, picture.width - width - 4), 0)
        y = top - height - 4 if top >= height + 4 else top
        canvas.rectangle((x, y, x + width + 4, y + height + 4), ground)
        canvas.text((x + 2, y + 1), caption, "white", font)


def to_jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()
