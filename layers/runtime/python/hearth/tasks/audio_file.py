"""Decodes audio files to mono samples: those that libsndfile knows here, containers in `audio_container`. The only
module that uses libsndfile."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import soundfile

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.ops.audio.mp3_frames import skip_to_frames
from hearth.ops.audio.resample import Floats, Resampler
from hearth.ops.audio.wav_length import with_length
from hearth.ops.file_kinds import describe, kind_of

SNDFILE_KINDS = ("WAV", "AIFF", "FLAC", "Ogg", "MP3", "CAF", "AU")
"""Files that libsndfile opens; it knows many more formats, and never reads other files."""
CONTAINERS = ("MP4", "Matroska", "AVI", "MPEG-TS", "AMR", "AAC")
SUPPORTED = (
    "The sound must be WAV, AIFF, FLAC, Ogg (Vorbis, Opus), MP3, CAF, AU, MP4 (m4a), AAC, Matroska (WebM), AMR, AVI or "
    "MPEG-TS"
)
RATES = (1_000, 192_000)
"""Smallest and largest supported sampling rate in Hz."""
MAX_CHANNELS = 8
MAX_AMPLITUDE = 2.0**32
"""Largest floating-point sample. Samples should be within -1..1, but some files have 16- or 32-bit integers as
floats."""
BLOCK = 1 << 16
"""Samples of all channels decoded at a time; resampling reads hundreds of them per output sample. Fed with the 1,024
samples of a packet instead, it took fifteen times as long."""


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file read sequentially: soundfile would seek after each block, which fails for FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


def read_audio(data: bytes, rate: int, seconds: float) -> Floats:
    """Decode a file to mono samples in -1..1 at `rate` Hz.

    Both the length in the header and the decoded length are limited to `seconds`, because headers can be wrong. Raises
    UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    kind = kind_of(data)
    if kind in CONTAINERS:
        blocks = _container_blocks(data, seconds)
    elif kind in SNDFILE_KINDS or skip_to_frames(data):
        blocks = _sndfile_blocks(data, seconds)
    else:
        raise UnsupportedMedia(describe(data, SUPPORTED))
    resampler: Resampler | None = None
    parts = []
    for source_rate, block in blocks:
        resampler = resampler or Resampler(source_rate, rate)
        parts.append(resampler.feed(_mono(block)))
    if resampler is None:
        raise BadRequest("The file has no sound: it has no samples")
    samples = np.concatenate([*parts, resampler.finish()])
    samples /= max(np.abs(samples).max(initial=0), 1.0)
    return samples


def _container_blocks(data: bytes, seconds: float) -> Iterator[tuple[int, Floats]]:
    """Rate, and samples (frames, 1) of one rate, of a container's sound."""
    from hearth.tasks.audio_container import decode_blocks

    rate = decoded = waiting = 0
    packets: list[Floats] = []
    for block in decode_blocks(data, SUPPORTED, seconds):
        if block.rate != rate:
            if rate:
                raise BadRequest("The sound changes its sampling rate; convert it to one rate")
            rate = block.rate
        _check(rate, block.samples.shape[1])
        decoded += len(block.samples)
        if decoded > seconds * rate:
            raise _too_long(seconds)
        packets.append(_mono(block.samples)[:, None])  # packets may differ in their number of channels
        waiting += len(block.samples)
        if waiting >= BLOCK:
            yield rate, np.concatenate(packets)
            packets, waiting = [], 0
    if packets:
        yield rate, np.concatenate(packets)


def _sndfile_blocks(data: bytes, seconds: float) -> Iterator[tuple[int, Floats]]:
    """Rate, and samples (frames, channels), of a file that libsndfile reads."""
    with _open(data) as file:
        _check(file.samplerate, file.channels)
        allowed = int(seconds * file.samplerate)
        # If a stream's length is unknown until its end, libsndfile reports a huge number of frames.
        if allowed < file.frames < 2**40:
            raise _too_long(seconds)
        decoded = 0
        while True:
            deadline.check()
            try:
                block = file.read(BLOCK // file.channels, dtype="float32", always_2d=True)
            except Exception:
                raise BadRequest("The sound is damaged: it could not be decoded to its end") from None
            decoded += len(block)
            if decoded > allowed:
                raise _too_long(seconds)
            if not len(block):
                return
            yield file.samplerate, block


def _open(data: bytes) -> SequentialFile:
    """Raises UnsupportedMedia."""
    for content in (with_length(data), skip_to_frames(data)):  # libsndfile finds no frames behind other bytes
        try:
            return SequentialFile(io.BytesIO(content))
        except Exception:  # noqa: S112 -- soundfile raises a few unrelated classes
            continue
    raise UnsupportedMedia(describe(data, SUPPORTED))


def _check(rate: int, channels: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise BadRequest(f"The sound has {rate} samples a second; {RATES[0]} to {RATES[1]} are allowed")
    if channels > MAX_CHANNELS:
        raise BadRequest(f"The sound has {channels} channels; at most {MAX_CHANNELS} are allowed")


def _too_long(seconds: float) -> PayloadTooLarge:
    return PayloadTooLarge(f"The sound is longer than {seconds:g} seconds; send it in parts")


def _mono(block: Floats) -> Floats:
    """The mean of the channels. Raises BadRequest for samples that are no finite number."""
    if not np.abs(block).max(initial=0) < MAX_AMPLITUDE:  # also true for NaN
        raise BadRequest("The sound has samples that are infinite or not a number")
    mono: Floats = block.mean(1, dtype=np.float32)
    return mono
