"""Boxes with captions on a picture."""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]


def colour(number: int) -> tuple[int, int, int]:
    """A saturated colour for a class or a track; consecutive numbers are far apart in hue (golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1, 0.85, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_boxes(picture: Image.Image, boxes: Sequence[Box], captions: Sequence[str], numbers: Sequence[int]) -> None:
    """Draw boxes (x1, y1, x2, y2) in pixels onto an RGB picture, the first on top; `numbers` choose their colours."""
    canvas = ImageDraw.Draw(picture)
    longest_side = max(picture.width, picture.height)
    line, font = max(longest_side // 320, 1), ImageFont.load_default(max(longest_side / 45, 10))
    for (left, top, right, bottom), caption, number in reversed(list(zip(boxes, captions, numbers, strict=True))):
        fill = colour(number)
        canvas.rectangle((left, top, max(right, left), max(bottom, top)), outline=fill, width=line)
        _, _, width, height = (int(edge) for edge in canvas.textbbox((0, 0), caption, font))
        x = max(min(left, picture.width - width - 4), 0)
        y = top - height - 4 if top >= height + 4 else top
        canvas.rectangle((x, y, x + width + 4, y + height + 4), fill)
        canvas.text((x + 2, y + 1), caption, "white", font)


def to_jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()
