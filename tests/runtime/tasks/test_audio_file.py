"""Audio files of every format, encoded by libsndfile, and files that are refused before decoding."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.tasks.audio_file import read_audio

RATE = 8000
KINDS = [
    ("WAV", "PCM_U8", 0.02),
    ("WAV", "PCM_16", 1e-3),
    ("WAV", "PCM_24", 1e-3),
    ("WAV", "PCM_32", 1e-3),
    ("WAV", "FLOAT", 1e-3),
    ("WAV", "ULAW", 0.03),
    ("FLAC", "PCM_16", 1e-3),
    ("FLAC", "PCM_24", 1e-3),
    ("OGG", "VORBIS", 0.05),
    ("OGG", "OPUS", 0.1),
    ("MP3", "MPEG_LAYER_III", 0.05),
]


def tone(rate: int, seconds: float = 0.6) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode_audio(sound: NDArray[Any], rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, subtype, format=format)
    return stream.getvalue()


def amplitude(sound: NDArray[np.float32], hertz: float) -> float:
    """Return the amplitude of a tone in the middle of the sound."""
    middle = sound[1200:3600]
    return float(2 * np.abs(np.mean(middle * np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / RATE))))


FILES = [(*kind, rate) for kind in KINDS for rate in (8000, 16000, 44100, 48000) if (kind[1], rate) != ("OPUS", 44100)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("format", "subtype", "tolerance", "rate"), FILES)
def test_files_of_every_format_are_read(format: str, subtype: str, tolerance: float, rate: int, channels: int) -> None:
    data = encode_audio(np.stack([tone(rate)] * channels, 1), rate, format, subtype)
    samples = read_audio(data, RATE, 10)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert len(samples) == pytest.approx(0.6 * RATE, abs=0.2 * RATE if format in ("MP3", "OGG") else 2)
    assert amplitude(samples, 440) == pytest.approx(0.5, abs=max(tolerance, 2e-3))


def test_channels_are_averaged() -> None:
    left, right = tone(RATE), np.zeros(4800, np.float32)
    assert amplitude(read_audio(encode_audio(np.stack([left, right], 1), RATE), RATE, 1), 440) == pytest.approx(
        0.25, abs=1e-3
    )


def test_a_long_file_is_read_completely() -> None:
    sound = np.random.default_rng(0).integers(-9000, 9000, 700_000, np.int16)
    samples = read_audio(encode_audio(sound, RATE), RATE, 100)
    np.testing.assert_allclose(samples, sound / 32768, atol=1e-6)


def test_floats_beyond_one_are_scaled() -> None:
    samples = read_audio(encode_audio(tone(RATE) * 1000, RATE, "WAV", "FLOAT"), RATE, 1)
    assert np.abs(samples).max() == pytest.approx(1)


def test_a_stream_of_unknown_length_is_read() -> None:
    data = bytearray(encode_audio(tone(RATE), RATE))
    data[4:8] = data[data.index(b"data") + 4 : data.index(b"data") + 8] = struct.pack("<I", 0xFFFFFFFF)
    assert len(read_audio(bytes(data), RATE, 1)) == 4800


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_recording_that_is_too_long_is_refused(format: str) -> None:
    data = encode_audio(np.zeros(RATE * 12, np.float32), RATE, format)
    with pytest.raises(PayloadTooLarge, match="longer than 10 seconds"):
        read_audio(data, RATE, 10)


def test_a_recording_of_unknown_length_that_is_too_long_is_refused() -> None:
    """The header of this FLAC file does not state the number of samples."""
    data = bytearray(encode_audio(np.zeros(RATE * 20, np.float32), RATE, "FLAC"))
    data[8 + 13] &= 0xF0
    data[8 + 14 : 8 + 18] = struct.pack(">I", 0)  # 0: unknown
    with pytest.raises(PayloadTooLarge):
        read_audio(bytes(data), RATE, 10)


def damaged(format: str) -> bytes:
    data = encode_audio(np.random.default_rng(1).standard_normal(RATE * 3).astype(np.float32) / 9, RATE, format)
    return data[: len(data) // 2] + b"\x55" * (len(data) // 4) + data[len(data) // 2 :]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", UnsupportedMedia, "unknown format"),
        (b"RIFF", UnsupportedMedia, "this file is RIFF"),
        (b"fLaC" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"ID3" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"\xff\xfb" + b"\1" * 500, UnsupportedMedia, "could not be opened"),
        (b"OggS" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"\0\0\0\x20ftypM4A ", BadRequest, "damaged"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(100), UnsupportedMedia, "this file is Windows Media"),
        (b"MThd\0\0\0\x06", UnsupportedMedia, "unknown format"),
        (encode_audio(tone(RATE)[:0], RATE), BadRequest, "no samples"),
        (encode_audio(np.full(900, np.nan, np.float32), RATE, "WAV", "FLOAT"), BadRequest, "not a number"),
        (encode_audio(np.full(900, np.inf, np.float32), RATE, "WAV", "FLOAT"), BadRequest, "not a number"),
        (encode_audio(tone(RATE), 500), BadRequest, "500 samples a second"),
        (encode_audio(tone(RATE), 400_000), BadRequest, "400000 samples a second"),
        (encode_audio(np.zeros((100, 9)), RATE), BadRequest, "9 channels"),
        (damaged("FLAC"), BadRequest, "damaged"),
    ],
)
def test_an_invalid_file_is_refused_with_a_reason(data: bytes, error: type[HearthError], message: str) -> None:
    with pytest.raises(error, match=message):
        read_audio(data, RATE, 10)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_a_damaged_file_is_read_or_refused(format: str) -> None:
    random = np.random.default_rng(2)
    valid = encode_audio(tone(RATE), RATE, format)
    for _ in range(40):
        data = bytearray(valid[: random.integers(4, len(valid) + 1)])
        for position in random.integers(4, max(len(data), 5), 6):
            if position < len(data):
                data[position] = random.integers(256)
        try:
            samples = read_audio(bytes(data), RATE, 10)
        except BadRequest:
            continue
        assert np.isfinite(samples).all()
