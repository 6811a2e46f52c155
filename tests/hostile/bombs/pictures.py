"""Pictures that promise more than they have, or have more than they say."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RED = (200, 30, 30)


def saved(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, RED if mode == "RGB" else 0).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes | None, *before: bytes) -> bytes:
    """Of `rows` that are compressed already, or of zeros."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    zeros = rows if rows is not None else packed((1 + (width * bits * channels + 7) // 8) * height)
    palette = chunk(b"PLTE", b"\1\2\3") if colour == 3 else b""
    return SIGNATURE + chunk(b"IHDR", header) + palette + b"".join(before) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")


def packed(count: int) -> bytes:
    """So many zeros, compressed piece by piece."""
    squeeze, parts = zlib.compressobj(9), []
    while count > 0:
        parts.append(squeeze.compress(bytes(min(count, 1 << 20))))
        count -= 1 << 20
    return b"".join(parts) + squeeze.flush()


def good_rows() -> bytes:
    return packed(30 * 41)


def patched(data: bytes, place: int, form: str, *values: int) -> bytes:
    return data[:place] + struct.pack(form, *values) + data[place + struct.calcsize(form) :]


def jpeg_sized(width: int, height: int) -> bytes:
    data = saved("JPEG")
    return patched(data, data.index(b"\xff\xc0") + 5, ">HH", height, width)


def scans() -> bytes:
    data = saved("JPEG", (4000, 4000), progressive=True)
    last = data.rindex(b"\xff\xda")
    again = data[last:-2]
    return data[:last] + again * (4_000_000 // len(again)) + b"\xff\xd9"


def segments(marker: int, begin: bytes, count: int) -> bytes:
    data = saved("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, 65_535) + begin + bytes(65_533 - len(begin))
    return data[:2] + segment * count + data[2:]


def exif(entries: bytes) -> bytes:
    data = saved("JPEG")
    body = b"Exif\0\0MM\0*\0\0\0\x08" + entries
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body + data[2:]


def gif_frame_beyond() -> bytes:
    data = saved("GIF", mode="P")
    return patched(data, data.index(b",", 13) + 5, "<HH", 60_000, 60_000)


def animated(kind: str, frames: int) -> bytes:
    pictures = [Image.new("RGB", (64, 64), (number % 256, 30, 30)) for number in range(frames)]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def webp_canvas() -> bytes:
    data = animated("WEBP", 2)
    return patched(data, data.index(b"VP8X") + 12, "<6B", 0xFE, 0x3F, 0, 0xFE, 0x3F, 0)


def several(count: int, size: int) -> bytes:
    one = base64.b64encode(saved("PNG", (size, size))).decode()
    return json.dumps({"inputs": [one] * count}).encode()


PICTURES: dict[str, Callable[[], bytes]] = {
    "png: 13000 x 13000 in 20 KB": lambda: png(13_000, 13_000, 1, 0, None),
    "png: 2147483647 x 2147483647": lambda: png(2**31 - 1, 2**31 - 1, 8, 6, good_rows()),
    "png: 4000 x 4000 of few rows": lambda: png(4000, 4000, 8, 6, good_rows()),
    "png: RGBA, as large as allowed": lambda: png(4000, 4000, 8, 6, None),
    "png: 16 bits of RGBA, as large as allowed": lambda: png(4000, 4000, 16, 6, None),
    "png: 16 bits of grey, as large as allowed": lambda: png(4000, 4000, 16, 0, None),
    "png: a palette, as large as allowed": lambda: png(4000, 4000, 8, 3, None),
    "png: a row of sixteen million": lambda: png(16_000_000, 1, 8, 0, None),
    "png: no pixels": lambda: png(0, 0, 8, 2, good_rows()),
    "png: cut off": lambda: saved("PNG", (400, 300))[:-40],
    "png: a wrong checksum": lambda: saved("PNG").replace(b"IEND\xae", b"IEND\0"),
    "png: zTXt of 100 MB": lambda: png(40, 30, 8, 0, good_rows(), chunk(b"zTXt", b"a\0\0" + packed(10**8))),
    "png: iTXt of 100 MB": lambda: png(40, 30, 8, 0, good_rows(), chunk(b"iTXt", b"a\0\1\0\0\0" + packed(10**8))),
    "png: iCCP of 100 MB": lambda: png(40, 30, 8, 0, good_rows(), chunk(b"iCCP", b"a\0\0" + packed(10**8))),
    "png: 80 zTXt of 1 MB": lambda: png(40, 30, 8, 0, good_rows(), chunk(b"zTXt", b"a\0\0" + packed(10**6)) * 80),
    "png: eXIf of 4 MB": lambda: png(40, 30, 8, 0, good_rows(), chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(4_000_000))),
    "png: animated, four thousand million frames": lambda: png(
        40, 30, 8, 0, good_rows(), chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))
    ),
    "jpeg: 65500 x 65500": lambda: jpeg_sized(65_500, 65_500),
    "jpeg: 4000 x 4000 of one block": lambda: jpeg_sized(4000, 4000),
    "jpeg: thousands of scans": scans,
    "jpeg: cut off": lambda: saved("JPEG", (400, 300))[:-400],
    "jpeg: 60 segments of EXIF": lambda: segments(0xE1, b"Exif\0\0MM\0*\0\0\0\x08", 60),
    "jpeg: 60 segments of ICC": lambda: segments(0xE2, b"ICC_PROFILE\0\1\x3c", 60),
    "jpeg: EXIF that points at itself": lambda: exif(b"\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"),
    "jpeg: EXIF of 65535 entries": lambda: exif(b"\xff\xff" + b"\1\x12\0\2\xff\xff\xff\xff\0\0\0\0" * 900),
    "gif: a screen of 65535 x 65535": lambda: patched(saved("GIF", mode="P"), 6, "<HH", 65_535, 65_535),
    "gif: a frame beyond its screen": gif_frame_beyond,
    "gif: 2000 frames": lambda: animated("GIF", 2000),
    "gif: cut off": lambda: saved("GIF", (400, 300), "P")[:-20],
    "webp: 16383 x 16383": lambda: patched(saved("WEBP", lossless=True), 21, "<I", 0x0FFFFFFF),
    "webp: an animated canvas of 16383 x 16383": webp_canvas,
    "webp: 300 frames": lambda: animated("WEBP", 300),
    "bmp: a width of 2147483647": lambda: patched(saved("BMP"), 18, "<i", 2**31 - 1),
    "bmp: a height of -2147483648": lambda: patched(saved("BMP"), 22, "<i", -(2**31)),
    "bmp: 4000 x 4000 of few rows": lambda: patched(saved("BMP"), 18, "<ii", 4000, 4000),
    "tiff: a format that is not read": lambda: saved("TIFF"),
    "fits: a gzip bomb": lambda: b"SIMPLE  =                    T".ljust(80) * 36 + packed(10**7),
    "svg: entities within entities": lambda: b'<svg><!DOCTYPE a [<!ENTITY b "&c;&c;">]>&b;</svg>',
    "a list: 32 pictures of a million pixels": lambda: several(32, 1000),
}
