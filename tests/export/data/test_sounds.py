from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from hearth.models.preprocessing import AudioPreprocessing
from hearth_build.data import sounds
from hearth_build.data.sounds import AugmentedSpeech, Sounds, UnreadableSound, read_samples
from hearth_build.recipe import Example

FEATURES = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=20, low=0, high=4000)


def recording(seconds: float, frequency: float = 440) -> Example:
    samples = np.sin(np.arange(int(seconds * 8000)) * 2 * np.pi * frequency / 8000) * 16000
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(samples.astype("<i2").tobytes())
    return Example(file.getvalue(), "a")


def test_recordings_are_read_back_from_one_file(tmp_path: Path) -> None:
    decoded = Sounds.decode([recording(0.5), recording(1.0, 880)], tmp_path / "sounds", 8000)
    assert len(decoded) == 2
    assert [decoded.seconds(index) for index in range(2)] == pytest.approx([0.5, 1.0])
    np.testing.assert_allclose(decoded[1], read_samples(recording(1.0, 880), 8000), atol=1e-4)


def test_unreadable_and_long_recordings_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableSound, match=r"^[^;,]+$"):
        read_samples(Example(b"no sound", "a"), 8000)
    monkeypatch.setattr(sounds, "MAX_SECONDS", 0.2)
    with pytest.raises(UnreadableSound, match=r"^longer than 0\.2 s$"):
        read_samples(recording(0.5), 8000)


def test_batches_hold_every_recording_with_its_text(tmp_path: Path) -> None:
    decoded = Sounds.decode([recording(0.2 + 0.05 * number) for number in range(8)], tmp_path / "sounds", 8000)
    targets = [[number] * (number % 3) for number in range(8)]
    batches = AugmentedSpeech(decoded, targets, FEATURES, blank=9)
    plan = batches.plan(0, 200, seed=1)
    assert sorted(index for indices in plan for index in indices) == list(range(8))
    assert all(len(indices) for indices in batches.plan(0, 10, seed=1)), "no batch is empty, however small"
    torch.manual_seed(0)
    batch = batches.collate([4, 2], 0.0)
    assert batch["lengths"].tolist() == [1, 2]
    assert batch["targets"].tolist() == [[4, 9], [2, 2]]
    assert batch["features"].shape[::2] == (2, 20)
    assert batch["features"].isfinite().all()
