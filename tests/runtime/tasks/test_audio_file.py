"""Sound files of every kind, made here by libsndfile, and what is refused before it is decoded."""

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


def file_of(sound: NDArray[Any], rate: int, form: str = "WAV", subtype: str | None = None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, sound, rate, subtype, format=form)
    return stream.getvalue()


def strength(sound: NDArray[np.float32], hertz: float) -> float:
    """The amplitude of a tone within the sound's middle."""
    middle = sound[1200:3600]
    return float(2 * np.abs(np.mean(middle * np.exp(-2j * np.pi * hertz * np.arange(len(middle)) / RATE))))


FILES = [(*kind, rate) for kind in KINDS for rate in (8000, 16000, 44100, 48000) if (kind[1], rate) != ("OPUS", 44100)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("form", "subtype", "tolerance", "rate"), FILES)
def test_files_of_every_kind(form: str, subtype: str, tolerance: float, rate: int, channels: int) -> None:
    data = file_of(np.stack([tone(rate)] * channels, 1), rate, form, subtype)
    found = read_audio(data, RATE, 10)
    assert found.dtype == np.float32
    assert found.ndim == 1
    assert len(found) == pytest.approx(0.6 * RATE, abs=0.2 * RATE if form in ("MP3", "OGG") else 2)
    assert strength(found, 440) == pytest.approx(0.5, abs=max(tolerance, 2e-3))


def test_channels_are_averaged() -> None:
    left, right = tone(RATE), np.zeros(4800, np.float32)
    assert strength(read_audio(file_of(np.stack([left, right], 1), RATE), RATE, 1), 440) == pytest.approx(
        0.25, abs=1e-3
    )


def test_a_long_file_comes_in_blocks_and_whole() -> None:
    sound = np.random.default_rng(0).integers(-9000, 9000, 700_000, np.int16)
    found = read_audio(file_of(sound, RATE), RATE, 100)
    np.testing.assert_allclose(found, sound / 32768, atol=1e-6)


def test_floats_beyond_one_are_scaled() -> None:
    found = read_audio(file_of(tone(RATE) * 1000, RATE, "WAV", "FLOAT"), RATE, 1)
    assert np.abs(found).max() == pytest.approx(1)


def test_a_stream_whose_header_does_not_know_its_length() -> None:
    data = bytearray(file_of(tone(RATE), RATE))
    data[4:8] = data[data.index(b"data") + 4 : data.index(b"data") + 8] = struct.pack("<I", 0xFFFFFFFF)
    assert len(read_audio(bytes(data), RATE, 1)) == 4800


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_too_long_is_refused(form: str) -> None:
    data = file_of(np.zeros(RATE * 12, np.float32), RATE, form)
    with pytest.raises(PayloadTooLarge, match="longer than 10 seconds"):
        read_audio(data, RATE, 10)


def test_a_header_that_lies_about_the_length_is_found_out() -> None:
    """A FLAC file whose header states a tenth of its samples."""
    data = bytearray(file_of(np.zeros(RATE * 20, np.float32), RATE, "FLAC"))
    data[8 + 13] &= 0xF0
    data[8 + 14 : 8 + 18] = struct.pack(">I", 0)  # 0: unknown
    with pytest.raises(PayloadTooLarge):
        read_audio(bytes(data), RATE, 10)


def damaged(form: str) -> bytes:
    data = file_of(np.random.default_rng(1).standard_normal(RATE * 3).astype(np.float32) / 9, RATE, form)
    return data[: len(data) // 2] + b"\x55" * (len(data) // 4) + data[len(data) // 2 :]


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"", UnsupportedMedia, "WAV, FLAC, Ogg"),
        (b"RIFF", UnsupportedMedia, "could not be opened"),
        (b"fLaC" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"ID3" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"\xff\xfb" + b"\1" * 500, UnsupportedMedia, "could not be opened"),
        (b"OggS" + b"\0" * 100, UnsupportedMedia, "could not be opened"),
        (b"\0\0\0\x20ftypM4A ", UnsupportedMedia, "WAV, FLAC, Ogg"),
        (file_of(tone(RATE), RATE, "AIFF"), UnsupportedMedia, "WAV, FLAC, Ogg"),
        (file_of(tone(RATE)[:0], RATE), BadRequest, "no samples"),
        (file_of(np.full(900, np.nan, np.float32), RATE, "WAV", "FLOAT"), BadRequest, "not a number"),
        (file_of(np.full(900, np.inf, np.float32), RATE, "WAV", "FLOAT"), BadRequest, "not a number"),
        (file_of(tone(RATE), 500), BadRequest, "500 samples a second"),
        (file_of(tone(RATE), 400_000), BadRequest, "400000 samples a second"),
        (file_of(np.zeros((100, 9)), RATE), BadRequest, "9 channels"),
        (damaged("FLAC"), BadRequest, "damaged"),
    ],
)
def test_what_cannot_be_heard_is_refused_with_a_reason(data: bytes, error: type[HearthError], words: str) -> None:
    with pytest.raises(error, match=words):
        read_audio(data, RATE, 10)


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_any_damage_is_an_answer_or_a_refusal(form: str) -> None:
    random = np.random.default_rng(2)
    whole = file_of(tone(RATE), RATE, form)
    for _ in range(40):
        data = bytearray(whole[: random.integers(4, len(whole) + 1)])
        for place in random.integers(4, max(len(data), 5), 6):
            if place < len(data):
                data[place] = random.integers(256)
        try:
            found = read_audio(bytes(data), RATE, 10)
        except BadRequest:
            continue
        assert np.isfinite(found).all()
