"""Decodes the sound of containers with FFmpeg: MP4 (m4a, 3gp), Matroska (WebM), AVI, MPEG-TS, AMR, AAC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import av
import numpy as np

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.ops.containers import open_container, open_decoder
from hearth.ops.file_kinds import kind_of

CODECS = (
    *("aac", "alac", "mp3float", "mp3", "opus", "vorbis", "flac", "amrnb", "amrwb", "libopencore_amrnb"),
    *("libopencore_amrwb", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8", "pcm_alaw"),
    *("pcm_mulaw", "ac3", "eac3", "mp2", "mp2float"),
)
"""Decoders of FFmpeg that are used."""
TOLERANCE = 0.5
"""Seconds by which the index of an MP4 file may be longer than its sound, as encoders pad it."""
SCALES = {"u1": 2**7, "i2": 2**15, "i4": 2**31}
"""The number that is 1.0, by type of sample."""


class Block(NamedTuple):
    rate: int
    """Samples per second."""
    samples: np.ndarray[Any, np.dtype[np.float32]]
    """(frames, channels)."""


def decode_blocks(data: bytes, supported: str, seconds: float) -> Iterator[Block]:
    """The best sound stream of a file, a packet at a time; pictures are not decoded. Raises UnsupportedMedia,
    PayloadTooLarge, BadRequest."""
    with open_container(data, supported) as container:
        # FFmpeg finds no best stream among those whose rate only a decoder would know, as in AAC without a container.
        stream: Any = container.streams.best("audio") or next(iter(container.streams.audio), None)
        name = getattr(getattr(stream, "codec_context", None), "name", None)
        if name not in CODECS:
            raise UnsupportedMedia(f"The file has {f'sound in {name}, which is not supported' if name else 'no sound'}")
        if stream.duration and float(stream.duration * stream.time_base) > seconds + 1:
            raise PayloadTooLarge(f"The sound is longer than {seconds:g} seconds; send it in parts")
        declared = float((stream.duration or 0) * stream.time_base) if kind_of(data) == "MP4" else 0.0
        decoder, decoded = open_decoder(stream), 0.0
        try:
            for packet in container.demux(stream):
                deadline.check()
                if packet.is_corrupt:
                    raise ValueError
                for frame in decoder.decode(packet):
                    decoded += frame.samples / frame.sample_rate
                    yield Block(frame.sample_rate, _samples(frame))
            if decoded + TOLERANCE < declared:
                raise ValueError
        except (av.FFmpegError, ValueError):
            raise BadRequest("The sound is damaged: it could not be decoded to its end") from None


def _samples(frame: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """(frames, channels) as floats in -1..1."""
    array = frame.to_ndarray()  # (channels, frames), or (1, frames * channels)
    channels = array.T if frame.format.is_planar else array.reshape(-1, frame.layout.nb_channels)
    kind = channels.dtype.str[1:]
    values: np.ndarray[Any, np.dtype[np.float32]] = channels.astype(np.float32)
    if kind == "u1":
        values -= SCALES[kind]
    values /= SCALES.get(kind, 1)
    return values
