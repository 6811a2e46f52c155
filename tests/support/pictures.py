"""Pictures of one colour."""

from __future__ import annotations

import functools
import io
import struct
from typing import Any

import av
import numpy as np
from PIL import Image

RED = (250, 10, 10)


def picture(format: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, RED).convert(mode).save(stream, format)
    return stream.getvalue()


def jpeg(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", **options)
    return file.getvalue()


def repeat_last_scan(data: bytes, times: int) -> bytes:
    """A progressive JPEG with its last scan once and `times` times more."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * (times + 1) + b"\xff\xd9"


def with_mpf_segment(data: bytes) -> bytes:
    """A JPEG that Pillow opens as MPO: with the index of the Multi-Picture Format, for two pictures."""
    entries = struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, 2)
    entries += struct.pack(">HHII", 0xB002, 7, 32, 50)
    pictures = struct.pack(">IIIHH", 0x30000, len(data), 0, 0, 0) * 2
    content = b"MPF\0MM\0*\0\0\0\x08" + struct.pack(">H", 3) + entries + bytes(4) + pictures
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE2, len(content) + 2) + content + data[2:]


def box(kind: bytes, *content: bytes) -> bytes:
    return struct.pack(">I", 8 + sum(map(len, content))) + kind + b"".join(content)


@functools.cache
def _coded(pixels: bytes, width: int, height: int) -> tuple[bytes, bytes]:
    """hvcC box and coded data of a picture, encoded by x265 at a high quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:keyint=1:qp=4"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        array = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        for _ in range(2):  # the muxer fails at times if there is one frame only
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    data = file.getvalue()
    start, sizes, mdat = data.index(b"hvcC") - 4, data.index(b"stsz") + 8, data.index(b"mdat") + 4
    configuration = data[start : start + int.from_bytes(data[start : start + 4], "big")]
    size = int.from_bytes(data[sizes : sizes + 4], "big") or int.from_bytes(data[sizes + 8 : sizes + 12], "big")
    return configuration, data[mdat : mdat + size]


def heic(
    picture: Image.Image,
    *,
    tile: int = 0,
    declared_size: tuple[int, int] | None = None,
    transforms: tuple[bytes, ...] = (),
    kind: bytes = b"hvc1",
) -> bytes:
    """A HEIC file of an RGB picture: one coded picture, or a grid of square tiles of side `tile`.

    `declared_size` replaces the true size in the index; `transforms` are boxes such as `irot`.
    """
    size = declared_size or picture.size
    tiles = [picture]
    rows = columns = 1
    if tile:
        columns, rows = -(-picture.width // tile), -(-picture.height // tile)
        canvas = Image.new("RGB", (columns * tile, rows * tile))
        canvas.paste(picture)
        tiles = [
            canvas.crop((x * tile, y * tile, (x + 1) * tile, (y + 1) * tile))
            for y in range(rows)
            for x in range(columns)
        ]
    coded = [_coded(part.tobytes(), *part.size) for part in tiles]
    tile_size = (tile, tile) if tile else size
    properties = [coded[0][0], box(b"ispe", bytes(4), struct.pack(">II", *tile_size))]
    properties += [box(b"ispe", bytes(4), struct.pack(">II", *size)), *transforms]
    items = [(number, kind, content) for number, (_, content) in enumerate(coded, 1)]
    grid = b"\0\0" + bytes([rows - 1, columns - 1]) + struct.pack(">HH", *picture.size)
    if tile:
        items.append((len(items) + 1, b"grid", grid))
    primary = items[-1][0]
    associations = {number: [1, 2] for number, _, _ in items}
    associations[primary] = [*([3] if tile else [1, 2]), *range(4, 4 + len(transforms))]
    infe = [box(b"infe", b"\2\0\0\0", struct.pack(">HH", number, 0), name, b"\0") for number, name, _ in items]
    ipma = b"".join(
        struct.pack(">HB", number, len(indices)) + bytes(indices) for number, indices in associations.items()
    )
    reference = box(b"dimg", struct.pack(f">HH{len(tiles)}H", primary, len(tiles), *range(1, len(tiles) + 1)))
    ftyp = box(b"ftyp", b"heic\0\0\0\0mif1heic")

    def meta(offset: int) -> bytes:
        locations = b""
        for number, _, content in items:
            locations += struct.pack(">HHHII", number, 0, 1, offset, len(content))
            offset += len(content)
        return box(
            b"meta",
            bytes(4),
            box(b"hdlr", bytes(8), b"pict", bytes(13)),
            box(b"pitm", bytes(4), struct.pack(">H", primary)),
            box(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(items)), locations),
            box(b"iinf", bytes(4), struct.pack(">H", len(items)), *infe),
            box(b"iprp", box(b"ipco", *properties), box(b"ipma", bytes(4), struct.pack(">I", len(items)), ipma)),
            box(b"iref", bytes(4), reference) if tile else b"",
        )

    return ftyp + meta(len(ftyp) + len(meta(0)) + 8) + box(b"mdat", *(content for _, _, content in items))
