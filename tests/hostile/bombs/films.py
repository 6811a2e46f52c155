"""Films whose index demands more work than they have frames."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np

from tests.functions.films import cut_off, frames, index_first, make_video
from tests.hostile.bombs.pictures import patch, png


def valid_film(count: int = 5) -> bytes:
    return make_video(frames(count))


def black(width: int, height: int, count: int) -> bytes:
    return make_video([np.zeros((height, width, 3), np.uint8)] * count)


def patch_box(data: bytes, box: bytes, offset: int, form: str, *values: int) -> bytes:
    """Replace values `offset` bytes after a box's name."""
    return patch(data, data.index(box) + 4 + offset, form, *values)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def nested_boxes(depth: int) -> bytes:
    """Boxes nested in each other; each is eight bytes larger than the next."""
    inner = b"".join(struct.pack(">I", 8 * (depth - number)) + b"moov" for number in range(depth))
    return box(b"ftyp", b"isom\0\0\2\0isom") + inner


def tracks(count: int) -> bytes:
    data = valid_film()
    begin = data.index(b"trak") - 4
    size = int.from_bytes(data[begin : begin + 4], "big")
    track, moov = data[begin : begin + size], data.index(b"moov") - 4
    grown = int.from_bytes(data[moov : moov + 4], "big") + size * count
    return patch(data[:begin] + track * count + data[begin:], moov, ">I", grown)


def in_other_container(form: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for picture in frames(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def film_of_a_png(form: str, side: int) -> bytes:
    """A film whose second frame is a PNG of this side: half a gigabyte to whom decodes it."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 8, 8, "rgba64be"
        container.mux(stream.encode(av.VideoFrame(8, 8, "rgba64be")))
        packet = av.Packet(png(side, side, 16, 6, None))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 1, 1, Fraction(1)
        container.mux(packet)
    return file.getvalue()


def strange_colours() -> bytes:
    """A film in YCgCo, which the decoder reads but nothing here converts to RGB."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.colorspace = 8
        for picture in frames(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")))
        container.mux(stream.encode())
    return file.getvalue()


def larger_than_it_says() -> bytes:
    """An index that declares 96 x 64, with frames of 1920 x 1088."""
    return patch_box(black(1920, 1088, 3), b"avc1", 24, ">HH", 96, 64)


FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
FILMS: dict[str, Callable[[], bytes]] = {
    "mp4: 65535 x 65535": lambda: patch_box(valid_film(), b"avc1", 24, ">HH", 65_535, 65_535),
    "mp4: 0 x 0": lambda: patch_box(valid_film(), b"avc1", 24, ">HH", 0, 0),
    "mp4: frames larger than its index says": larger_than_it_says,
    "mp4: colours that nobody converts": strange_colours,
    "mp4: 4294967295 samples": lambda: patch_box(valid_film(), b"stsz", 4, ">II", 1, 2**32 - 1),
    "mp4: 4294967295 durations": lambda: patch_box(valid_film(), b"stts", 4, ">I", 2**32 - 1),
    "mp4: 4294967295 frames of one duration": lambda: patch_box(valid_film(), b"stts", 8, ">I", 2**32 - 1),
    "mp4: 4294967295 chunks": lambda: patch_box(valid_film(), b"stco", 4, ">I", 2**32 - 1),
    "mp4: no ticks a second": lambda: patch_box(valid_film(), b"mdhd", 12, ">I", 0),
    "mp4: 4294967295 ticks a second": lambda: patch_box(valid_film(), b"mdhd", 12, ">I", 2**32 - 1),
    "mp4: 4294967295 ticks long": lambda: patch_box(valid_film(), b"mdhd", 16, ">I", 2**32 - 1),
    "mp4: 2000 tracks": lambda: tracks(2000),
    "mp4: 15 tracks": lambda: tracks(14),
    "mp4: 100000 boxes within another": lambda: nested_boxes(100_000),
    "mp4: an index of nothing": lambda: FTYP + box(b"moov", b""),
    "mp4: frames without an index": lambda: FTYP + box(b"mdat", bytes(100_000)),
    "mp4: a box of 2^63 bytes": lambda: FTYP + b"\0\0\0\1mdat" + struct.pack(">Q", 2**63) + valid_film(),
    "mp4: a packed index": lambda: FTYP + box(b"moov", box(b"cmov", box(b"dcom", b"zlib") + bytes(100))),
    "mp4: nothing but its kind": lambda: FTYP,
    "mp4: half of its frames": lambda: cut_off(index_first(valid_film(60)), 0.7),
    "mp4: half of its index": lambda: index_first(valid_film(20))[:600],
    "mp4: 2500 frames": lambda: black(32, 32, 2500),
    "mp4: frames of 12 million pixels": lambda: black(4000, 3000, 2),
    "mp4: as large as allowed": lambda: black(2000, 2000, 12),
    "mov: a PNG of 8000 x 8000 in 64 bits": lambda: film_of_a_png("mov", 8000),
    "avi: a PNG of 8000 x 8000 in 64 bits": lambda: film_of_a_png("avi", 8000),
    "mpegts: frames of 12 million pixels": lambda: make_video([np.zeros((3000, 4000, 3), np.uint8)] * 2, form="mpegts"),
    "mkv: a stream of 4000 x 3000": lambda: make_video([np.zeros((3000, 4000, 3), np.uint8)] * 2, form="matroska"),
    "mkv: 2500 frames": lambda: make_video([np.zeros((32, 32, 3), np.uint8)] * 2500, form="matroska"),
    "avi": lambda: in_other_container("avi", "mpeg4"),
    "mkv": lambda: in_other_container("matroska", "mpeg4"),
    "hls: a list of addresses": lambda: b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "concat: a list of files": lambda: b"ffconcat version 1.0\nfile /etc/passwd\n",
}
