"""Words of a transcript are attributed to the seconds in which they are spoken, which are known of these recordings."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from hearth.errors import BadRequest
from hearth.models.heads import Whisper
from hearth.ops.audio.wav import float_wav
from hearth.tasks.explanation.transcript import split_words
from hearth.tasks.whisper import transcribe
from hearth_functions.speech_recognition import app
from tests.runtime.tasks import test_whisper as whisper
from tests.support.asking import predict as ask_task
from tests.support.sounds import PAUSE, TONE, encode_audio, make_sound_artifact, synthesize

TEXT = "cab bed feed"
BEAT = TONE + PAUSE


def explain(store: Path, data: bytes, **options: Any) -> dict[str, Any]:
    if not (store / "tones").exists():
        make_sound_artifact(store)
    request = msgspec.convert({"inputs": data, "parameters": {"explain": options or True}}, app.Request)
    return msgspec.to_builtins(ask_task(app.TASKS[0], "tones", request))


def test_each_word_is_due_to_the_seconds_in_which_it_is_spoken(serving: Path) -> None:
    body = explain(serving, encode_audio(synthesize(TEXT)), runs=120)
    explanation = body["explanation"]
    assert body["predictions"]["text"] == explanation["target"] == TEXT
    middles = [(part["start"] + part["end"]) / 2 for part in explanation["parts"]]
    assert explanation["parts"][-1]["end"] == pytest.approx(len(TEXT) * BEAT, abs=0.01)
    for word in explanation["outputs"]:
        assert TEXT[word["start"] : word["end"]] == word["text"]
        start, end = word["start"] * BEAT, (word["end"] + 1) * BEAT  # with the space, which is a tone too
        inside = sum(
            abs(value) for value, time in zip(word["values"], middles, strict=True) if start - 0.1 < time < end + 0.1
        )
        assert inside > 0.95 * sum(map(abs, word["values"]))
        assert word["score"] - word["base_score"] > 5
        assert sum(word["values"]) == pytest.approx(word["score"] - word["base_score"])


def test_a_pause_counts_for_nothing(serving: Path) -> None:
    rate = 8000
    pause = np.zeros(2 * rate, np.float32)
    sound = np.concatenate([synthesize("cab "), pause, synthesize("bed")])
    parts = explain(serving, encode_audio(sound))["explanation"]["parts"]
    silent = [part["value"] for part in parts if part["start"] > 0.7 and part["end"] < 2.3]
    assert len(silent) > 10
    assert max(map(abs, silent)) < 0.02 * max(part["value"] for part in parts)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (encode_audio(synthesize(TEXT)), {"target": "hello"}, "no word"),
        (encode_audio(np.zeros(4000, np.float32)), {}, "No words were recognised"),
        (encode_audio(synthesize(TEXT)), {"reference": [{"a": 1}]}, "rows of a table"),
    ],
)
def test_what_cannot_be_explained_is_refused(serving: Path, data: bytes, options: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        explain(serving, data, **options)


def test_words_begin_between_the_letters_of_their_neighbours() -> None:
    labels, blank = ("a", "b", " ", ""), 3
    path = [3, 0, 3, 2, 2, 3, 3, 1, 1, 3]
    logs = np.log(np.full((len(path), 4), 0.01) + 0.96 * np.eye(4)[path])
    assert split_words(logs, (0, 2, 1), labels, blank) == [("a", [0, 2], 0), ("b", [1], 6)]
    assert split_words(logs, (2, 0), labels, blank) == [("a", [2, 0], 0)]
    assert split_words(logs, (2,), labels, blank) == []


class Listening(whisper.Scripted):
    """A Whisper that hears the word n if there is sound in second n."""

    def run(self, feeds: dict[str, Any], role: str = "main") -> list[Any]:
        if role == "main":
            features = feeds["input_features"][0]  # (mels, frames)
            self.loud = [float(features[:, 100 * second + 20 : 100 * second + 80].mean()) for second in range(3)]
            self.fed = []
            return [np.zeros((1, 1, 2, 1500), np.float32), np.zeros((1, 1, 1500, 2), np.float32)]
        self.fed += feeds["input_ids"][0].tolist()
        words = self.fed[max(index for index, token in enumerate(self.fed) if token in whisper.PROMPT) + 1 :]
        logits = np.zeros((1, whisper.VOCABULARY), np.float32)
        if len(words) < 3:
            logits[0, len(words)] = 12.0 + 4 * self.loud[len(words)]
        logits[0, whisper.EOT] = 10.0
        return [logits, *(np.zeros((1, 1, len(self.fed), 2), np.float32) for _ in range(2))]


def test_words_of_whisper_are_due_to_their_seconds() -> None:
    model: Any = Listening([[]], languages={}, no_speech=None)
    model.manifest.limits = SimpleNamespace(seconds=None)
    model.manifest.labels = ()
    assert isinstance(model.head, Whisper)
    generator = np.random.default_rng(0)
    samples = (0.1 * generator.normal(size=3 * whisper.RATE)).astype(np.float32)
    assert transcribe(model, samples, app.Options()).text == "hello world again"
    document = {"inputs": float_wav(samples, whisper.RATE), "parameters": {"explain": {"runs": 100}}}
    output = app.TASKS[0].predict(model, msgspec.convert(document, app.Request)).output
    explanation = output.explanation
    assert [word.text for word in explanation.outputs] == ["hello", "world", "again"]
    for second, word in enumerate(explanation.outputs):
        inside = [
            value for value, part in zip(word.values, explanation.parts, strict=True) if int(part.start) == second
        ]
        # Whisper's features of a silent second depend on how loud the others are, so these count a little too.
        assert sum(inside) > 0.6 * sum(map(abs, word.values))
        assert sum(word.values) == pytest.approx(word.score - word.base_score)
