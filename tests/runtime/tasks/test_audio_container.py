"""Sounds of phones, browsers and old recorders."""

from __future__ import annotations

import struct
from random import Random

import numpy as np
import pytest

from hearth import deadline
from hearth.errors import BadRequest, DeadlineExceeded, PayloadTooLarge, UnsupportedMedia
from hearth.tasks.audio_file import read_audio
from tests.functions.films import frames, make_video
from tests.runtime.tasks.test_audio_file import RATE, amplitude, encode_audio, tone
from tests.support.sounds_in_containers import encode_in_container

FORMS = [
    *(("mp4", codec, rate) for codec, rate in (("aac", 44_100), ("aac", 16_000), ("alac", 44_100), ("mp3", 44_100))),
    ("3gp", "libopencore_amrnb", 8000),
    *(("webm", codec, 48_000) for codec in ("libopus", "opus")),
    *(("matroska", codec, 48_000) for codec in ("libopus", "pcm_s16le", "aac", "ac3")),
    *(("avi", codec, 44_100) for codec in ("pcm_s16le", "mp3")),
    *(("mpegts", codec, 48_000) for codec in ("aac", "mp2")),
    *(("adts", "aac", rate) for rate in (16_000, 48_000)),
    ("amr", "libopencore_amrnb", 8000),
    ("mov", "pcm_s16le", 44_100),
]


@pytest.mark.parametrize(("form", "codec", "rate"), FORMS)
def test_sounds_as_people_have_them_are_read(form: str, codec: str, rate: int) -> None:
    data = encode_in_container(tone(rate), rate, form, codec)
    samples = read_audio(data, RATE, 10)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(0.6 * RATE, abs=0.12 * RATE)
    assert amplitude(samples, 440) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(("form", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("matroska", "pcm_s16le")])
def test_channels_are_averaged(form: str, codec: str) -> None:
    samples = read_audio(encode_in_container(tone(48_000), 48_000, form, codec, channels=2), RATE, 10)
    assert amplitude(samples, 440) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("form", "subtype"), [("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("CAF", "PCM_16"), ("AU", "PCM_16")]
)
def test_formats_of_libsndfile_are_read(form: str, subtype: str) -> None:
    samples = read_audio(encode_audio(tone(44_100), 44_100, form, subtype), RATE, 10)
    assert len(samples) == pytest.approx(0.6 * RATE, abs=2)
    assert amplitude(samples, 440) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize(("form", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("adts", "aac"), ("mpegts", "aac")])
def test_a_sound_that_is_too_long_is_refused(form: str, codec: str) -> None:
    with pytest.raises(PayloadTooLarge, match="longer than 10 seconds"):
        read_audio(encode_in_container(np.zeros(48_000 * 12), 48_000, form, codec), RATE, 10)


def test_a_film_without_sound_is_refused() -> None:
    with pytest.raises(UnsupportedMedia, match="no sound"):
        read_audio(make_video(frames(3)), RATE, 10)


def test_half_of_an_m4a_is_damaged() -> None:
    data = encode_in_container(tone(48_000, 3), 48_000, "matroska", "pcm_s16le")
    assert len(read_audio(data[: len(data) // 2], RATE, 10)) < 2 * RATE, "a recording that ended early"
    data = encode_in_container(tone(48_000, 3), 48_000, "mp4", "aac")
    with pytest.raises(BadRequest, match="damaged"):
        read_audio(data[: len(data) // 2], RATE, 10)


def test_decoding_ends_at_the_deadline() -> None:
    data = encode_in_container(tone(48_000), 48_000, "webm", "libopus")
    deadline.set_seconds(-1)
    try:
        with pytest.raises(DeadlineExceeded):
            read_audio(data, RATE, 10)
    finally:
        deadline.set_from(None)


def test_a_frame_of_too_many_samples_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_in_container(tone(44_100), 44_100, "mp4", "alac")
    assert len(read_audio(data, RATE, 10))
    monkeypatch.setattr("hearth.ops.containers.MAX_SAMPLES", 2000)  # ALAC's frames have 4096
    with pytest.raises(BadRequest, match="damaged"):
        read_audio(data, RATE, 10)


JUNK = {
    "zeros": bytes(5000),
    "text": b"this is no sound " * 300,
    "beginnings of frames": b"\xff\xfb\x90\x64" * 900,
    "a tag": b"ID3\3\0\0\0\0\1\0" + bytes(128),
    "a tag and zeros": b"ID3\3\0\0\0\0\1\0" + bytes(128 + 3000),
    "a tag that is too long": b"ID3\3\0\0\x7f\x7f\x7f\x7f" + bytes(128),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_an_mp3_behind_other_bytes_is_read(junk: bytes, rate: int) -> None:
    data = encode_audio(tone(rate), rate, "MP3")
    samples = read_audio(junk + data, RATE, 10)
    assert amplitude(samples, 440) == pytest.approx(0.5, abs=0.06)
    assert len(samples) == pytest.approx(0.6 * RATE, abs=0.2 * RATE)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFFFFE])
@pytest.mark.parametrize("before", [b"", b"LIST\4\0\0\0INFO"])
def test_a_wav_whose_length_was_never_written_is_read(size: int, before: bytes) -> None:
    data = encode_audio(tone(RATE), RATE)
    start = data.index(b"data")
    data = b"RIFF" + bytes(4) + data[8:start] + before + b"data" + struct.pack("<I", size) + data[start + 8 :]
    assert len(read_audio(data, RATE, 10)) == 4800


def test_an_aiff_whose_length_was_never_written_is_read() -> None:
    data = bytearray(encode_audio(tone(RATE), RATE, "AIFF"))
    common, sound = data.index(b"COMM"), data.index(b"SSND")
    data[4:8] = data[common + 10 : common + 14] = data[sound + 4 : sound + 8] = bytes(4)
    assert len(read_audio(bytes(data), RATE, 10)) == 4800


def test_an_empty_wav_with_further_chunks_stays_empty() -> None:
    with pytest.raises(BadRequest, match="no samples"):
        read_audio(encode_audio(tone(RATE)[:0], RATE) + b"LIST\4\0\0\0INFO", RATE, 10)


@pytest.mark.parametrize(("form", "codec", "rate"), FORMS)
def test_any_damage_is_read_or_a_bad_request(form: str, codec: str, rate: int) -> None:
    random = Random(1)
    valid = encode_in_container(tone(rate), rate, form, codec)
    for _ in range(25):
        data = bytearray(valid)
        for _ in range(random.randint(1, 8)):
            data[random.randrange(8, len(data))] = random.randrange(256)
        if random.random() < 0.3:
            del data[random.randrange(8, len(data)) :]
        try:
            samples = read_audio(bytes(data), RATE, 10)
        except BadRequest:  # and its subclasses
            continue
        assert np.isfinite(samples).all()


def test_a_minute_of_plain_sound_in_a_quicktime_file_is_read() -> None:
    """Its index has a sample for each of two million moments."""
    wave = 0.5 * np.sin(np.arange(44_100 * 60) / 20)
    file = encode_in_container(wave, 44_100, "mov", "pcm_s16le")
    np.testing.assert_allclose(read_audio(file, 44_100, 90), wave, atol=1e-4)
