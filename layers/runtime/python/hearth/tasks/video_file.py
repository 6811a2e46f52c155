"""Videos, and sequences of pictures, read frame by frame; videos written. The one module that uses PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from PIL import Image

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.ops.vision.images import open_image
from hearth.ops.vision.mp4_index import has_plausible_index

CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4")
"""What is decoded: of FFmpeg's hundreds of decoders, those that mp4 files hold."""
BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
"""What an mp4 file begins with."""
RATES = (Fraction(1), Fraction(120))
"""Frames a second that are believed of a header."""
IMAGES_RATE = Fraction(10)
"""Frames a second of pictures, which say nothing of it."""
TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
MAX_SIDE = 1280
"""Pixels of a written video's longer side."""
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "26", "bufsize": "500k", "x264-params": "threads=1"}


class Bounds(NamedTuple):
    """Checked against the header before anything is decoded, and against what is decoded, because headers lie."""

    frames: int
    """That are looked at."""
    pixels: int
    """Of a frame."""
    seconds: float


class Frame(NamedTuple):
    number: int
    """From 1."""
    image: Image.Image
    """Upright RGB."""


@dataclass
class _Reading:
    """What one pass through a file met."""

    packets: int = 0
    frames: int = 0
    failed: int = 0
    """Packets that could not be decoded, and frames that the decoder says are damaged."""
    cut: bool = False


class Video:
    """An mp4 file, of which one frame at a time is in memory. `frames` may be read again from the beginning.

    Raises UnsupportedMedia, PayloadTooLarge, and BadRequest where nothing of a damaged file can be read.
    """

    def __init__(self, data: bytes, bounds: Bounds, every: int = 1) -> None:
        if data[4:8] not in BOXES:
            raise UnsupportedMedia("The video must be an mp4 file")
        if not has_plausible_index(data):
            raise BadRequest("The video is damaged: its index promises more than such a file can hold")
        self._data, self._bounds, self.every = data, bounds, every
        self.damage = ""
        """What could not be read, in a sentence; known when `frames` has ended."""
        self.frames_read = 0
        """Frames that were decoded; known likewise."""
        with self._open() as container:
            stream = _stream(container)
            self.frames_total = stream.frames
            """Frames that the header promises; 0 where it says nothing."""
            self.rate = min(max(stream.average_rate or IMAGES_RATE, RATES[0]), RATES[1])
            width, height = stream.codec_context.width, stream.codec_context.height
            self._check(self.frames_total, (container.duration or 0) / av.time_base, width * height)
        first = next(self.frames(), None)
        if first is None:
            raise BadRequest("The video is damaged: no frame of it could be read")
        self.width, self.height = first.image.size

    def frames(self) -> Iterator[Frame]:
        """Each `every`-th frame, beginning with the first."""
        reading = _Reading()
        with self._open() as container:
            stream = _stream(container)
            # Against streams that are larger than the header says; FFmpeg counts the padding of rows too.
            stream.codec_context.options = {"max_pixels": str(2 * self._bounds.pixels + 2**16)}
            stream.codec_context.thread_count = 1  # each further one holds frames of its own
            size = stream.codec_context.width, stream.codec_context.height
            for frame in _decoded(container, stream, reading):
                deadline.check()
                self._check(reading.frames, float(reading.frames / RATES[1]), frame.width * frame.height)
                if (reading.frames - 1) % self.every == 0:
                    # A stream may change its size on the way; tracks are in the pixels of its beginning.
                    try:
                        picture = frame.to_image(width=size[0], height=size[1])
                    except (av.FFmpegError, ValueError):  # of colours that nobody can convert
                        reading.failed += 1
                        continue
                    turn = TURNS.get(frame.rotation % 360)
                    yield Frame(reading.frames, picture if turn is None else picture.transpose(turn))
        self.frames_read, self.damage = reading.frames, self._damage(reading)

    def _damage(self, reading: _Reading) -> str:
        if reading.cut or reading.packets < self.frames_total:
            promised = f" of {self.frames_total}" if self.frames_total else ""
            return f"The file ends too early: {reading.frames}{promised} frames could be read"
        if reading.failed:
            return f"The file is damaged in {reading.failed} places; the frames there are missing or partly wrong"
        return ""

    def _open(self) -> Any:
        try:
            # Naming the format keeps FFmpeg from trying its other readers, some of which open further files. An edit
            # list can play a sample thousands of times; all that is stored is played once here.
            options = {"advanced_editlist": "0"}
            return av.open(io.BytesIO(self._data), format="mp4", container_options=options, metadata_errors="replace")
        except av.FFmpegError:
            raise BadRequest(
                "The video is damaged: its index cannot be read. Most recorders write it last, so the file was "
                "probably cut off"
            ) from None

    def _check(self, frames: int, seconds: float, pixels: int) -> None:
        allowed = self._bounds
        if pixels > allowed.pixels:
            raise PayloadTooLarge(f"A frame has {pixels} pixels; {allowed.pixels} are allowed: send a smaller video")
        if seconds > allowed.seconds:
            raise PayloadTooLarge(f"The video is longer than {allowed.seconds:g} seconds: send it in parts")
        looked_at = -(-frames // self.every)
        if looked_at > allowed.frames:
            raise PayloadTooLarge(
                f"More than {allowed.frames} frames would be looked at: ask for every 2nd or 3rd with `every`, or send "
                "the video in parts"
            )


class ImageSequence:
    """Encoded pictures of one size in the place of a video; decoded one at a time, as they are asked for.

    Raises what `open_image` does, PayloadTooLarge, and BadRequest where there is none or the sizes differ.
    """

    damage = ""

    def __init__(self, files: Sequence[bytes], bounds: Bounds, every: int = 1) -> None:
        if not files:
            raise BadRequest("`inputs` is an empty list; send a video or at least one picture")
        if len(files[::every]) > bounds.frames:
            raise PayloadTooLarge(f"`inputs` has {len(files)} pictures; {bounds.frames} are looked at in one request")
        self._files, self._bounds, self.every = files, bounds, every
        self.frames_read = self.frames_total = len(files)
        self.rate = IMAGES_RATE
        self.width, self.height = open_image(files[0], bounds.pixels).size

    def frames(self) -> Iterator[Frame]:
        for index in range(0, len(self._files), self.every):
            picture = open_image(self._files[index], self._bounds.pixels)
            if picture.size != (self.width, self.height):
                raise BadRequest(
                    f"Picture {index + 1} has {picture.width} x {picture.height} pixels, the first one {self.width} x "
                    f"{self.height}; frames must be of one size"
                )
            yield Frame(index + 1, picture)


def write_video(images: Iterable[Image.Image], size: tuple[int, int], rate: Fraction, bits: int) -> bytes:
    """RGB pictures of `size` as an mp4 file (H.264) that browsers play, of at most about `bits` a second."""
    factor = min(MAX_SIDE / max(size), 1)
    width, height = (max(round(side * factor / 2) * 2, 2) for side in size)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options=ENCODER_OPTIONS | {"maxrate": str(bits)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        for image in images:
            resized = image.resize((width, height), Image.Resampling.BILINEAR)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(resized), format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _stream(container: Any) -> Any:
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None or stream.codec_context.name not in CODECS:
        raise UnsupportedMedia("The file holds no video as H.264, H.265, VP9, AV1 or MPEG-4")
    return stream


def _decoded(container: Any, stream: Any, reading: _Reading) -> Iterator[Any]:
    """All frames that can be decoded, past those that cannot."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            reading.cut = True
            return
        reading.packets += packet.size > 0  # the last one is empty: it asks for what the decoder still holds
        reading.cut |= packet.is_corrupt
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            reading.failed += 1
            continue
        for frame in frames:
            reading.frames += 1
            reading.failed += frame.is_corrupt
            yield frame
