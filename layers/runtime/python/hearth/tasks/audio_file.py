"""Decodes audio files to mono samples. The only module that uses libsndfile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.ops.audio.resample import Floats, Resampler

# First bytes of the supported formats; libsndfile, which knows many more, never reads other files.
SIGNATURES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", *(bytes([0xFF, second]) for second in range(0xE2, 0x100)))
SUPPORTED = "The sound must be WAV, FLAC, Ogg (Vorbis, Opus) or MP3"
RATES = (1_000, 192_000)
"""Smallest and largest supported sampling rate in Hz."""
MAX_CHANNELS = 8
MAX_AMPLITUDE = 2.0**32
"""Largest floating-point sample. Samples should be within -1..1, but some files have 16- or 32-bit integers as
floats."""
BLOCK = 1 << 16
"""Samples of all channels decoded at a time; resampling reads hundreds of them per output sample."""


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file read sequentially: soundfile would seek after each block, which fails for FLAC of unknown length."""

    def seekable(self) -> bool:
        return False


def read_audio(data: bytes, rate: int, seconds: float) -> Floats:
    """Decode a file to mono samples in -1..1 at `rate` Hz.

    Both the length in the header and the decoded length are limited to `seconds`, because headers can be wrong. Raises
    UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    if not data.startswith(SIGNATURES):
        raise UnsupportedMedia(SUPPORTED)
    try:
        file = SequentialFile(io.BytesIO(data))
    except Exception:  # soundfile raises a few unrelated classes
        raise UnsupportedMedia(f"{SUPPORTED}; this file could not be opened") from None
    with file:
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise BadRequest(f"The sound has {file.samplerate} samples a second; {RATES[0]} to {RATES[1]} are allowed")
        if file.channels > MAX_CHANNELS:
            raise BadRequest(f"The sound has {file.channels} channels; at most {MAX_CHANNELS} are allowed")
        resampler = Resampler(file.samplerate, rate)
        blocks = [resampler.feed(block) for block in _mono(file, seconds)]
        blocks.append(resampler.finish())
    samples = np.concatenate(blocks)
    if not len(samples):
        raise BadRequest("The file has no sound: it has no samples")
    return samples / np.float32(max(np.abs(samples).max(), 1.0))


def _mono(file: Any, seconds: float) -> Iterator[Floats]:
    """Decode blocks (samples,), the mean of the channels."""
    allowed = int(seconds * file.samplerate)
    too_long = PayloadTooLarge(f"The sound is longer than {seconds:g} seconds; send it in parts")
    # If a stream's length is unknown until its end, libsndfile reports a huge number of frames.
    if allowed < file.frames < 2**40:
        raise too_long
    decoded = 0
    while True:
        deadline.check()
        try:
            block = file.read(BLOCK // file.channels, dtype="float32", always_2d=True)  # (frames, channels)
        except Exception:
            raise BadRequest("The sound is damaged: it could not be decoded to its end") from None
        decoded += len(block)
        if decoded > allowed:
            raise too_long
        if not len(block):
            return
        if not np.abs(block).max() < MAX_AMPLITUDE:  # also true for NaN
            raise BadRequest("The sound has samples that are infinite or not a number")
        yield block.mean(1, dtype=np.float32)
