"""Pictures of one colour."""

from __future__ import annotations

import io

from PIL import Image

RED = (250, 10, 10)


def picture(format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(stream, format)
    return stream.getvalue()
