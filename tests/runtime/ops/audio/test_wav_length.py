"""Files whose recorder never wrote their length are completed, and all others are left alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from hearth.ops.audio.wav_length import with_length

SOUND = np.sin(np.arange(1000) / 5).astype(np.float32) * 0.5


def recording(kind: str) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, SOUND, 8000, format=kind, subtype="PCM_16")
    return stream.getvalue()


def without_length(data: bytes, kind: str) -> bytes:
    name = b"data" if kind == "WAV" else b"SSND"
    position = data.index(name) + 4
    data = data[:position] + bytes(4) + data[position + 4 :]
    if kind == "AIFF":
        frames = data.index(b"COMM") + 10
        data = data[:frames] + bytes(4) + data[frames + 4 :]
    return data


@pytest.mark.parametrize("kind", ["WAV", "AIFF"])
def test_a_missing_length_is_that_of_the_rest_of_the_file(kind: str) -> None:
    whole = recording(kind)
    repaired = with_length(without_length(whole, kind))
    assert len(repaired) == len(whole)
    samples, rate = soundfile.read(io.BytesIO(repaired), dtype="float32")
    assert rate == 8000
    np.testing.assert_allclose(samples[:1000], SOUND, atol=1e-3)
    assert len(samples) == 1000


@pytest.mark.parametrize("kind", ["WAV", "AIFF", "FLAC"])
def test_a_complete_file_stays_as_it_is(kind: str) -> None:
    whole = recording(kind)
    assert with_length(whole) == whole


def test_chunks_after_empty_samples_are_no_samples() -> None:
    header = b"RIFF\0\0\0\0WAVEfmt " + (16).to_bytes(4, "little") + bytes(16) + b"data" + bytes(4)
    assert with_length(header) == header
    listed = header + b"LIST" + (4).to_bytes(4, "little") + b"INFO"
    assert with_length(listed) == listed
    samples = header + bytes(range(200, 240))
    position = len(header)
    assert with_length(samples)[position - 4 : position] == (40).to_bytes(4, "little")


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"RIFF\0\0\0\0AVI data\0\0\0\0abc"]
)
def test_other_bytes_stay_as_they_are(data: bytes) -> None:
    assert with_length(data) == data
