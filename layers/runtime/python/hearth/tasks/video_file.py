"""Reads videos and sequences of pictures frame by frame, and writes videos."""

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
from hearth.ops.containers import open_container, open_decoder
from hearth.ops.file_kinds import describe, kind_of
from hearth.ops.vision.av1_units import has_few_frames
from hearth.ops.vision.images import open_image

AV1 = "libdav1d"
CODECS = ("h264", "hevc", "vp8", "vp9", AV1, "mpeg4", "mpeg2video")
"""Decoders of FFmpeg that are used."""
SUPPORTED = "The video must be MP4, Matroska (WebM), AVI or MPEG-TS"
FILMS = ("MP4", "Matroska", "AVI", "MPEG-TS")
RATES = (Fraction(1), Fraction(120))
"""Smallest and largest plausible frame rate, in frames per second."""
IMAGES_RATE = Fraction(10)
"""Frame rate of a sequence of pictures, in frames per second."""
MIN_INTERVAL = 0.001
"""Smallest plausible time between two frames, in seconds."""
TIME_BASE = Fraction(1, 90_000)
"""Unit of time of a written video, in seconds."""
ROTATIONS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
MAX_SIDE = 1280
"""Largest side of a written video, in pixels."""
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "26", "bf": "0", "bufsize": "500k", "x264-params": "threads=1"}
"""Without B-frames, whose delay would move the times of a film with a variable frame rate."""


class Bounds(NamedTuple):
    """Limits that are checked against the header and against the decoded frames, because headers can be wrong."""

    frames: int
    """Number of processed frames."""
    pixels: int
    """Pixels of a frame."""
    seconds: float


class Frame(NamedTuple):
    number: int
    """Number of the frame, from 1."""
    seconds: float
    """Time since the first frame."""
    image: Image.Image
    """Upright RGB."""


@dataclass
class _DecodeStatus:
    """Counts of one pass through a file."""

    packets: int = 0
    frames: int = 0
    failed: int = 0
    """Packets that could not be decoded, and frames that the decoder reports as damaged."""
    is_truncated: bool = False


class _Clock:
    """The times of frames, in the order in which they are shown."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        """Seconds after which a frame follows that has no time of its own, or one before the last frame's."""
        self._first: float | None = None
        self._last = -interval

    def time_of(self, frame: Any) -> float:
        """Seconds since the first frame."""
        time = None if frame.pts is None else float(frame.pts * frame.time_base)
        if self._first is None:
            self._first = time
        elapsed = None if time is None or self._first is None else time - self._first
        if elapsed is None or elapsed - self._last < MIN_INTERVAL:
            elapsed = self._last + self._interval
        self._last = elapsed
        return elapsed


class Video:
    """A film, decoded one frame at a time. `frames` can be called again.

    Raises UnsupportedMedia, PayloadTooLarge, and BadRequest if no frame of a damaged file can be read.
    """

    def __init__(self, data: bytes, bounds: Bounds, every: int = 1) -> None:
        if kind_of(data) not in FILMS:
            raise UnsupportedMedia(describe(data, SUPPORTED))
        self._data, self._bounds, self.every = data, bounds, every
        self.damage = ""
        """A sentence about what could not be read; set when `frames` has ended."""
        self.frames_read = 0
        """Number of decoded frames; set when `frames` has ended."""
        self.seconds: list[float] = []
        """Time of each processed frame since the first one; complete when `frames` has ended."""
        with open_container(data, SUPPORTED) as container:
            stream = _stream(container)
            self.frames_total = stream.frames
            """Number of frames according to the header; 0 if unknown."""
            self.rate = min(max(stream.average_rate or IMAGES_RATE, RATES[0]), RATES[1])
            """Frames per second, on average."""
            width, height = stream.codec_context.width, stream.codec_context.height
            self._check(self.frames_total, (container.duration or 0) / av.time_base, width * height)
        first = next(self.frames(), None)
        if first is None:
            raise BadRequest("The video is damaged: no frame of it could be read")
        self.width, self.height = first.image.size

    def frames(self) -> Iterator[Frame]:
        """Every `every`-th frame, beginning with the first."""
        status, clock = _DecodeStatus(), _Clock(float(1 / self.rate))
        self.seconds = []
        size: tuple[int, int] | None = None
        with open_container(self._data, SUPPORTED) as container:
            stream = _stream(container)
            # Streams can be larger than the header says; FFmpeg counts the padding of rows too.
            decoder = open_decoder(stream, 2 * self._bounds.pixels + 2**16)
            for frame in _decoded(container, stream, decoder, status):
                deadline.check()
                seconds = clock.time_of(frame)
                self._check(status.frames, max(seconds, float(status.frames / RATES[1])), frame.width * frame.height)
                size = size or (frame.width, frame.height)
                if (status.frames - 1) % self.every == 0:
                    # A stream may change its size; tracks are in pixels of its first frame.
                    try:
                        picture = frame.to_image(width=size[0], height=size[1])
                    except (av.FFmpegError, ValueError):  # for unsupported colour formats
                        status.failed += 1
                        continue
                    rotation = ROTATIONS.get(frame.rotation % 360)
                    self.seconds.append(seconds)
                    upright = picture if rotation is None else picture.transpose(rotation)
                    yield Frame(status.frames, seconds, upright)
        self.frames_read, self.damage = status.frames, self._damage(status)

    def _damage(self, status: _DecodeStatus) -> str:
        if status.is_truncated or status.packets < self.frames_total:
            total = f" of {self.frames_total}" if self.frames_total else ""
            return f"The file ends too early: {status.frames}{total} frames could be read"
        if status.failed:
            return f"The file is damaged in {status.failed} places; the frames there are missing or partly wrong"
        return ""

    def _check(self, frames: int, seconds: float, pixels: int) -> None:
        bounds = self._bounds
        if pixels > bounds.pixels:
            raise PayloadTooLarge(f"A frame has {pixels} pixels; {bounds.pixels} are allowed: send a smaller video")
        if seconds > bounds.seconds:
            raise PayloadTooLarge(f"The video is longer than {bounds.seconds:g} seconds: send it in parts")
        processed = -(-frames // self.every)
        if processed > bounds.frames:
            raise PayloadTooLarge(
                f"More than {bounds.frames} frames would be processed: select every 2nd or 3rd with `every`, or send "
                "the video in parts"
            )


class ImageSequence:
    """Encoded pictures of one size as the frames of a video, decoded one at a time.

    Raises what `open_image` raises, PayloadTooLarge, and BadRequest if there is no picture or the sizes differ.
    """

    damage = ""

    def __init__(self, files: Sequence[bytes], bounds: Bounds, every: int = 1) -> None:
        if not files:
            raise BadRequest("`inputs` is an empty list; send a video or at least one picture")
        if len(files[::every]) > bounds.frames:
            raise PayloadTooLarge(f"`inputs` has {len(files)} pictures; {bounds.frames} are processed in one request")
        self._files, self._bounds, self.every = files, bounds, every
        self.frames_read = self.frames_total = len(files)
        self.rate = IMAGES_RATE
        self.seconds = [float(index / IMAGES_RATE) for index in range(0, len(files), every)]
        self.width, self.height = open_image(files[0], bounds.pixels).size

    def frames(self) -> Iterator[Frame]:
        for index in range(0, len(self._files), self.every):
            picture = open_image(self._files[index], self._bounds.pixels)
            if picture.size != (self.width, self.height):
                raise BadRequest(
                    f"Picture {index + 1} has {picture.width} x {picture.height} pixels, the first one {self.width} x "
                    f"{self.height}; frames must be of one size"
                )
            yield Frame(index + 1, float(index / IMAGES_RATE), picture)


def write_video(frames: Iterable[tuple[float, Image.Image]], size: tuple[int, int], rate: Fraction, bits: int) -> bytes:
    """Encode RGB pictures of `size` with their times in seconds as an mp4 file (H.264) that browsers play, with about
    `bits` per second at most; `rate` is the average number of frames per second."""
    factor = min(MAX_SIDE / max(size), 1)
    width, height = (max(round(side * factor / 2) * 2, 2) for side in size)
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=rate, options=ENCODER_OPTIONS | {"maxrate": str(bits)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = TIME_BASE
        for seconds, image in frames:
            resized = image.resize((width, height), Image.Resampling.BILINEAR)
            frame = av.VideoFrame.from_ndarray(np.asarray(resized), format="rgb24")
            frame.pts, frame.time_base = round(seconds / TIME_BASE), TIME_BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def _stream(container: Any) -> Any:
    stream = container.streams.best("video")
    if stream is None or stream.codec_context is None or stream.codec_context.name not in CODECS:
        codec = getattr(getattr(stream, "codec_context", None), "name", None)
        contents = f"; its video is {codec}" if codec else ""
        raise UnsupportedMedia(f"The file has no video in H.264, H.265, VP8, VP9, AV1, MPEG-4 or MPEG-2{contents}")
    return stream


def _decoded(container: Any, stream: Any, decoder: Any, status: _DecodeStatus) -> Iterator[Any]:
    """All frames that can be decoded; damaged ones are skipped."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.FFmpegError:
            status.is_truncated = True
            return
        status.packets += packet.size > 0  # the last packet is empty and flushes the decoder
        status.is_truncated |= packet.is_corrupt
        try:
            if decoder.name == AV1 and not has_few_frames(bytes(packet)):
                raise ValueError
            frames = decoder.decode(packet)
        except (av.FFmpegError, ValueError):
            status.failed += 1
            continue
        for frame in frames:
            status.frames += 1
            status.failed += frame.is_corrupt
            yield frame
