"""Pictures with less or more content than they declare."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.support.pictures import heic, jpeg, repeat_last_scan, with_mpf_segment

SIGNATURE = b"\x89PNG\r\n\x1a\n"
RED = (200, 30, 30)


def encode(kind: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, RED if mode == "RGB" else 0).save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes | None, *extra_chunks: bytes) -> bytes:
    """A PNG of `rows`, which are already compressed, or of zeros."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    data = rows if rows is not None else compressed_zeros((1 + (width * bits * channels + 7) // 8) * height)
    palette = chunk(b"PLTE", b"\1\2\3") if colour == 3 else b""
    return (
        SIGNATURE
        + chunk(b"IHDR", header)
        + palette
        + b"".join(extra_chunks)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )


def compressed_zeros(count: int) -> bytes:
    """`count` zeros, compressed block by block."""
    compressor, blocks = zlib.compressobj(9), []
    while count > 0:
        blocks.append(compressor.compress(bytes(min(count, 1 << 20))))
        count -= 1 << 20
    return b"".join(blocks) + compressor.flush()


def valid_rows() -> bytes:
    return compressed_zeros(30 * 41)


def patch(data: bytes, offset: int, form: str, *values: int) -> bytes:
    return data[:offset] + struct.pack(form, *values) + data[offset + struct.calcsize(form) :]


def jpeg_sized(width: int, height: int) -> bytes:
    data = encode("JPEG")
    return patch(data, data.index(b"\xff\xc0") + 5, ">HH", height, width)


def many_scans() -> bytes:
    data = encode("JPEG", (4000, 4000), progressive=True)
    last_scan_start = data.rindex(b"\xff\xda")
    last_scan = data[last_scan_start:-2]
    return data[:last_scan_start] + last_scan * (4_000_000 // len(last_scan)) + b"\xff\xd9"


def scans_of(picture: Image.Image, more: int) -> bytes:
    return repeat_last_scan(jpeg(picture, progressive=True), more)


def tiff_sized(width: int, height: int) -> bytes:
    """A TIFF of 40 x 30 that declares another size."""
    data = encode("TIFF", compression="tiff_lzw")
    start = int.from_bytes(data[4:8], "little") + 2
    entries = {data[at : at + 2]: at for at in range(start, start + 12 * 20, 12)}
    return patch(patch(data, entries[b"\0\1"] + 2, "<HII", 4, 1, width), entries[b"\1\1"] + 2, "<HII", 4, 1, height)


def avif_smaller_than_it_is() -> bytes:
    data = encode("AVIF", (4000, 3000))
    return patch(data, data.index(b"ispe") + 8, ">II", 64, 64)


def segments(marker: int, prefix: bytes, count: int) -> bytes:
    data = encode("JPEG")
    segment = struct.pack(">BBH", 0xFF, marker, 65_535) + prefix + bytes(65_533 - len(prefix))
    return data[:2] + segment * count + data[2:]


def exif(entries: bytes) -> bytes:
    data = encode("JPEG")
    body = b"Exif\0\0MM\0*\0\0\0\x08" + entries
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body + data[2:]


def gif_frame_outside_screen() -> bytes:
    data = encode("GIF", mode="P")
    return patch(data, data.index(b",", 13) + 5, "<HH", 60_000, 60_000)


def animated(kind: str, frames: int) -> bytes:
    pictures = [Image.new("RGB", (64, 64), (number % 256, 30, 30)) for number in range(frames)]
    file = io.BytesIO()
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def webp_canvas() -> bytes:
    data = animated("WEBP", 2)
    return patch(data, data.index(b"VP8X") + 12, "<6B", 0xFE, 0x3F, 0, 0xFE, 0x3F, 0)


def picture_list(count: int, size: int) -> bytes:
    encoded = base64.b64encode(encode("PNG", (size, size))).decode()
    return json.dumps({"inputs": [encoded] * count}).encode()


PICTURES: dict[str, Callable[[], bytes]] = {
    "png: 13000 x 13000 in 20 KB": lambda: png(13_000, 13_000, 1, 0, None),
    "png: 2147483647 x 2147483647": lambda: png(2**31 - 1, 2**31 - 1, 8, 6, valid_rows()),
    "png: 4000 x 4000 of few rows": lambda: png(4000, 4000, 8, 6, valid_rows()),
    "png: RGBA, as large as allowed": lambda: png(4000, 4000, 8, 6, None),
    "png: 16 bits of RGBA, as large as allowed": lambda: png(4000, 4000, 16, 6, None),
    "png: 16 bits of grey, as large as allowed": lambda: png(4000, 4000, 16, 0, None),
    "png: a palette, as large as allowed": lambda: png(4000, 4000, 8, 3, None),
    "png: a row of sixteen million": lambda: png(16_000_000, 1, 8, 0, None),
    "png: no pixels": lambda: png(0, 0, 8, 2, valid_rows()),
    "png: cut off": lambda: encode("PNG", (400, 300))[:-40],
    "png: a wrong checksum": lambda: encode("PNG").replace(b"IEND\xae", b"IEND\0"),
    "png: zTXt of 100 MB": lambda: png(40, 30, 8, 0, valid_rows(), chunk(b"zTXt", b"a\0\0" + compressed_zeros(10**8))),
    "png: iTXt of 100 MB": lambda: png(
        40, 30, 8, 0, valid_rows(), chunk(b"iTXt", b"a\0\1\0\0\0" + compressed_zeros(10**8))
    ),
    "png: iCCP of 100 MB": lambda: png(40, 30, 8, 0, valid_rows(), chunk(b"iCCP", b"a\0\0" + compressed_zeros(10**8))),
    "png: 80 zTXt of 1 MB": lambda: png(
        40, 30, 8, 0, valid_rows(), chunk(b"zTXt", b"a\0\0" + compressed_zeros(10**6)) * 80
    ),
    "png: eXIf of 4 MB": lambda: png(40, 30, 8, 0, valid_rows(), chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(4_000_000))),
    "png: animated, four thousand million frames": lambda: png(
        40, 30, 8, 0, valid_rows(), chunk(b"acTL", struct.pack(">II", 2**32 - 1, 0))
    ),
    "jpeg: 65500 x 65500": lambda: jpeg_sized(65_500, 65_500),
    "jpeg: 4000 x 4000 of one block": lambda: jpeg_sized(4000, 4000),
    "jpeg: thousands of scans": many_scans,
    "jpeg: cut off": lambda: encode("JPEG", (400, 300))[:-400],
    "jpeg: 60 segments of EXIF": lambda: segments(0xE1, b"Exif\0\0MM\0*\0\0\0\x08", 60),
    "jpeg: 60 segments of ICC": lambda: segments(0xE2, b"ICC_PROFILE\0\1\x3c", 60),
    "jpeg: EXIF that points at itself": lambda: exif(b"\0\1\x87\x69\0\4\0\0\0\1\0\0\0\x08\0\0\0\x08"),
    "jpeg: EXIF of 65535 entries": lambda: exif(b"\xff\xff" + b"\1\x12\0\2\xff\xff\xff\xff\0\0\0\0" * 900),
    "gif: a screen of 65535 x 65535": lambda: patch(encode("GIF", mode="P"), 6, "<HH", 65_535, 65_535),
    "gif: a frame beyond its screen": gif_frame_outside_screen,
    "gif: 2000 frames": lambda: animated("GIF", 2000),
    "gif: cut off": lambda: encode("GIF", (400, 300), "P")[:-20],
    "webp: 16383 x 16383": lambda: patch(encode("WEBP", lossless=True), 21, "<I", 0x0FFFFFFF),
    "webp: an animated canvas of 16383 x 16383": webp_canvas,
    "webp: 300 frames": lambda: animated("WEBP", 300),
    "bmp: a width of 2147483647": lambda: patch(encode("BMP"), 18, "<i", 2**31 - 1),
    "bmp: a height of -2147483648": lambda: patch(encode("BMP"), 22, "<i", -(2**31)),
    "bmp: 4000 x 4000 of few rows": lambda: patch(encode("BMP"), 18, "<ii", 4000, 4000),
    "jpeg: thousands of scans in an MPO": lambda: with_mpf_segment(many_scans()),
    "jpeg: 90 scans of 4000 x 4000": lambda: scans_of(Image.new("RGB", (4000, 4000)), 80),
    "jpeg: 4000 x 4000 without its end": lambda: encode("JPEG", (4000, 4000))[:-2],
    "tiff: 65535 x 65535": lambda: tiff_sized(65_535, 65_535),
    "tiff: 4000 x 4000 of few rows": lambda: tiff_sized(4000, 4000),
    "tiff: LZMA": lambda: encode("TIFF", compression="lzma"),
    "tiff: as large as allowed": lambda: encode("TIFF", (4000, 4000), compression="tiff_adobe_deflate"),
    "heic: a picture larger than declared": lambda: heic(Image.new("RGB", (4000, 3000)), declared_size=(64, 64)),
    "heic: as large as allowed": lambda: heic(Image.new("RGB", (4000, 4000))),
    "heic: a grid of 65535 x 65535": lambda: heic(Image.new("RGB", (200, 100)), tile=64, declared_size=(65_535,) * 2),
    "avif: as large as allowed": lambda: encode("AVIF", (4000, 4000)),
    "avif: a picture larger than declared": avif_smaller_than_it_is,
    "fits: a gzip bomb": lambda: b"SIMPLE  =                    T".ljust(80) * 36 + compressed_zeros(10**7),
    "svg: entities within entities": lambda: b'<svg><!DOCTYPE a [<!ENTITY b "&c;&c;">]>&b;</svg>',
    "a list: 32 pictures of a million pixels": lambda: picture_list(32, 1000),
}
