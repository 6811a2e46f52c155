"""A network of letters is trained on words of tones, from a table of paths to the answer of the artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hearth_build.data.datasets import DataError
from hearth_build.training import speech_recognition
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from hearth_build.training.speech_recognition import needed_frames, wav
from tests.export.training.running import train_on, write_csv

RATE = 8000
PITCHES = {"a": 300, "b": 800, "c": 1500, "d": 2400}
WORDS = ("ab", "cd", "bc", "da")


def synthesized(random: np.random.Generator, word: str) -> bytes:
    """A tone for each letter."""
    parts = []
    for letter in word:
        seconds = np.arange(int(RATE * random.uniform(0.12, 0.2))) / RATE
        parts.append(0.3 * np.sin(2 * np.pi * PITCHES[letter] * random.uniform(0.97, 1.03) * seconds))
    return wav(np.concatenate(parts).astype(np.float32), RATE)


def recordings(folder: Path, count: int) -> list[list[Any]]:
    random = np.random.default_rng(1)
    (folder / "wavs").mkdir()
    rows = []
    for number in range(count):
        word = WORDS[number % len(WORDS)]
        (folder / "wavs" / f"{number}.wav").write_bytes(synthesized(random, word))
        rows.append([f"{number}.wav", word.upper() + "."])
    return rows


def test_recordings_of_a_table(tmp_path: Path) -> None:
    rows = recordings(tmp_path, 72)
    (tmp_path / "wavs/broken.wav").write_bytes(b"no sound")
    (tmp_path / "wavs/silent.wav").write_bytes(wav(np.zeros(4000, np.float32), RATE))
    data = write_csv(
        tmp_path / "a.csv", [["path", "sentence"], *rows, ["broken.wav", "ab"], ["silent.wav", "ab"], ["0.wav", ""]]
    )
    manifest, answer = train_on(
        "automatic-speech-recognition", data, tmp_path / "work", settings={"epochs": 40, "learning_rate": 0.006}
    )
    assert manifest.labels == ("a", "b", "c", "d", "")
    assert manifest.preprocessing.rate == RATE  # type: ignore[union-attr]
    assert manifest.metrics.served["WER (test)"] < 0.5
    assert manifest.metrics.served["WER (test), low"] <= manifest.metrics.served["WER (test), high"]
    assert answer(synthesized(np.random.default_rng(2), "cd")) in WORDS
    card = (tmp_path / "work/artifact/report.md").read_text()
    for text in ("broken.wav", "silent.wav", "1 recordings without a text", "always the most frequent text"):
        assert text in card


def test_a_text_longer_than_its_recording_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = recordings(tmp_path, 40)
    rows[3][1] = "ab" * 200
    data = write_csv(tmp_path / "a.csv", [["path", "sentence"], *rows])
    plan = Plan(task="automatic-speech-recognition", name="tiny", data=str(data))
    assert run(plan, tmp_path / "work", "", check=True) is None
    assert "1 recordings are too short for their text and are left out: 3.wav" in " ".join(
        capsys.readouterr().out.split()
    )


def test_recordings_with_one_text_are_refused(tmp_path: Path) -> None:
    rows = [[name, "ab"] for name, _ in recordings(tmp_path, 30)]
    data = write_csv(tmp_path / "a.csv", [["path", "text"], *rows])
    with pytest.raises(DataError, match="have the text 'ab'"):
        run(Plan(task="automatic-speech-recognition", name="tiny", data=str(data)), tmp_path / "work", "")


def test_repeated_letters_need_more_frames() -> None:
    assert [needed_frames(text) for text in ("abc", "aab", "aaa")] == [3, 4, 5]


def test_other_sampling_rates_have_other_features() -> None:
    assert speech_recognition.NARROW.rate < speech_recognition.WIDE.rate
