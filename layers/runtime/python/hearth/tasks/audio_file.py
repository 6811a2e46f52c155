"""Encoded sound as mono samples. The one module that uses libsndfile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile

from hearth import deadline
from hearth.errors import BadRequest, PayloadTooLarge, UnsupportedMedia
from hearth.ops.audio.resample import Floats, Resampler

# What a file begins with. libsndfile never sees anything else: of its many formats these four are served.
SIGNATURES = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", *(bytes([0xFF, second]) for second in range(0xE2, 0x100)))
SUPPORTED = "The sound must be WAV, FLAC, Ogg (Vorbis, Opus) or MP3"
RATES = (1_000, 192_000)
MAX_CHANNELS = 8
MAX_AMPLITUDE = 2.0**32
"""Of a file with floating-point samples, which ought to be within -1..1 and sometimes are 16- or 32-bit integers."""
BLOCK = 1 << 16
"""Samples of all channels that are decoded at once: resampling looks at hundreds of them for each new one."""


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """Read from begin to end: soundfile would seek after each block, which a FLAC stream of unknown length refuses."""

    def seekable(self) -> bool:
        return False


def read_audio(data: bytes, rate: int, seconds: float) -> Floats:
    """Mono samples in -1..1 at `rate` Hz.

    The header's length is compared with `seconds` before anything is decoded, and what is decoded too, because headers
    lie. Raises UnsupportedMedia, PayloadTooLarge, BadRequest.
    """
    if not data.startswith(SIGNATURES):
        raise UnsupportedMedia(SUPPORTED)
    try:
        file = SequentialFile(io.BytesIO(data))
    except Exception:  # libsndfile's complaints are of a few unrelated classes
        raise UnsupportedMedia(f"{SUPPORTED}; this file could not be opened") from None
    with file:
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise BadRequest(f"The sound has {file.samplerate} samples a second; {RATES[0]} to {RATES[1]} are allowed")
        if file.channels > MAX_CHANNELS:
            raise BadRequest(f"The sound has {file.channels} channels; at most {MAX_CHANNELS} are allowed")
        resampler = Resampler(file.samplerate, rate)
        parts = [resampler.feed(block) for block in _mono(file, seconds)]
        parts.append(resampler.finish())
    samples = np.concatenate(parts)
    if not len(samples):
        raise BadRequest("The file holds no sound: it has no samples")
    return samples / np.float32(max(np.abs(samples).max(), 1.0))


def _mono(file: Any, seconds: float) -> Iterator[Floats]:
    """Blocks of (samples,), the mean of the channels."""
    allowed = int(seconds * file.samplerate)
    too_long = PayloadTooLarge(f"The sound is longer than {seconds:g} seconds; send it in parts")
    # A stream's length is not known before its end; libsndfile then says an absurdly large one.
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
        if not np.abs(block).max() < MAX_AMPLITUDE:  # not a number is not less, either
            raise BadRequest("The sound has samples that are infinite or no numbers at all")
        yield block.mean(1, dtype=np.float32)
