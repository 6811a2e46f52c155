"""automatic-speech-recognition: words out of tones, in any file, of any length, and what is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import evaluation_of, examples_from
from hearth_functions.speech_recognition import app
from tests.support.asking import ask as ask_task
from tests.support.sounds import PAUSE, TONE, file_of, make_sound_artifact, spoken

TEXT = "cab bed feed gab"
BEAT = TONE + PAUSE
TASK = "automatic-speech-recognition"
# After an a, this language knows b and hardly ever c.
ARPA = (
    "\\1-grams:\n-0.9 </s>\n"
    + "".join(f"-0.9 {letter} 0\n" for letter in "|abcdefg")
    + ("\\2-grams:\n-0.01 a b\n-3 a c\n\\end\\\n")
)


@pytest.fixture
def tones(serving: Path) -> str:
    make_sound_artifact(serving)
    return "tones"


def hear(name: str, data: bytes, **parameters: object) -> app.Response:
    return ask_task(app, name, app.Request(data, app.Parameters(**parameters)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (22050, 1), (44100, 2), (48000, 1)])
@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_the_words_of_any_file(tones: str, form: str, subtype: str, rate: int, channels: int) -> None:
    sound = np.stack([spoken(TEXT, rate)] * channels, 1)
    assert hear(tones, file_of(sound, rate, form, subtype)).text == TEXT


@pytest.mark.parametrize("beams", [1, 2, 8])
def test_words_come_with_their_times(tones: str, beams: int) -> None:
    answer = hear(tones, file_of(spoken(TEXT)), return_timestamps="word", num_beams=beams)
    assert [chunk.text for chunk in answer.chunks] == TEXT.split()
    letter = 0
    for chunk in answer.chunks:
        begin, end = chunk.timestamp
        # A beam's times are where letters are surest, the best path's where they are at all.
        assert begin == pytest.approx(letter * BEAT, abs=0.05)
        assert end == pytest.approx((letter + len(chunk.text)) * BEAT - PAUSE, abs=0.05)
        letter += len(chunk.text) + 1


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("chunk_seconds", [1.0, 1.3, 2.7, 5.0])
def test_long_sound_is_heard_in_pieces_as_it_is_in_one(serving: Path, chunk_seconds: float, beams: int) -> None:
    make_sound_artifact(serving, "pieces", chunk_seconds=chunk_seconds)
    make_sound_artifact(serving, "whole", chunk_seconds=100.0)
    random = np.random.default_rng(4)
    words = ["".join(random.choice([*"abcdefg"], random.integers(1, 6))) for _ in range(25)]
    sound = file_of(spoken(" ".join(words)))
    pieces = hear("pieces", sound, num_beams=beams, return_timestamps=True)
    assert pieces.text == " ".join(words)
    whole = hear("whole", sound, num_beams=beams, return_timestamps=True)
    for one, other in zip(pieces.chunks, whole.chunks, strict=True):
        assert one.timestamp == pytest.approx(other.timestamp, abs=0.021)


def test_times_know_nothing_of_the_margin(serving: Path) -> None:
    make_sound_artifact(serving, "tight")
    make_sound_artifact(serving, "margin", margin_seconds=0.25)
    tight, wide = (hear(name, file_of(spoken(TEXT)), return_timestamps="word") for name in ("tight", "margin"))
    assert wide.text == TEXT
    for one, other in zip(tight.chunks, wide.chunks, strict=True):
        assert one.timestamp == pytest.approx(other.timestamp, abs=0.021)


def test_the_language_model_of_the_artifact_is_asked(serving: Path) -> None:
    make_sound_artifact(serving, "plain", beams=4)
    make_sound_artifact(serving, "letters", beams=4, arpa=ARPA)
    between = spoken("b") * 0.5 + spoken("c") * 0.505
    sound = file_of(np.concatenate([spoken("a"), between]))
    assert "c" in hear("plain", sound).text
    assert hear("letters", sound).text == "ab"
    assert hear("letters", file_of(spoken(TEXT))).text == TEXT


def test_silence_has_no_words(tones: str) -> None:
    answer = hear(tones, file_of(np.zeros(8000)), return_timestamps="word")
    assert answer == app.Response("", [])
    assert hear(tones, file_of(np.zeros(1))).text == ""


@pytest.fixture
def client(tones: str) -> TestClient:
    return TestClient(create_app(app.TASKS, local=True))


def test_the_payloads_of_hugging_face(client: TestClient) -> None:
    sound = file_of(spoken("bad egg"), form="FLAC")
    for path in ("/models/tones", f"/pipeline/{TASK}/tones", "/models/tones?num_beams=3"):
        assert client.post(path, content=sound, headers={"content-type": "audio/flac"}).json() == {"text": "bad egg"}
    body = {"inputs": base64.b64encode(sound).decode(), "parameters": {"return_timestamps": True}}
    answer = client.post("/models/tones", json=body).json()
    assert answer["text"] == "bad egg"
    assert [chunk["text"] for chunk in answer["chunks"]] == ["bad", "egg"]
    assert client.post("/models/tones?return_timestamps=word", content=sound).json() == answer
    assert client.post("/models/tones", json=app.TASKS[0].example).json() == {"text": "", "chunks": []}


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"\x1aE\xdf\xa3webm", 415, "must be WAV, FLAC, Ogg"),
        (file_of(spoken(TEXT), form="FLAC")[:200], 400, "damaged"),
        (file_of(np.zeros(8000 * 121)), 413, "longer than 120 seconds"),
        (file_of(np.zeros(0)), 400, "no samples"),
        (b"", 400, "empty"),
        (b'{"inputs": "not base64"}', 400, "inputs"),
        (b'{"inputs": "UklGRg==", "parameters": {"num_beams": 0}}', 400, "num_beams"),
        (b'{"inputs": "UklGRg==", "parameters": {"num_beams": 9999}}', 400, "num_beams"),
        (b'{"inputs": "UklGRg==", "parameters": {"return_timestamps": "letter"}}', 400, "return_timestamps"),
        (b'{"inputs": ["UklGRg=="]}', 400, "inputs"),
        (b'{"inputs": "UklGRg=="}', 415, "could not be opened"),
    ],
)
def test_what_is_refused_says_why(client: TestClient, content: bytes, status: int, words: str) -> None:
    answer = client.post("/models/tones", content=content)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]


def test_error_rates_of_files_and_folders(tones: str, tmp_path: Path) -> None:
    evaluation = evaluation_of(TASK)
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, text in (("one", "cab bed"), ("two", "feed")):
        (folder / f"{name}.wav").write_bytes(file_of(spoken(text)))
    (folder / "one.txt").write_text("Cab, bed.\n")
    (folder / "two.txt").write_text("fed a")  # what was said and what was heard differ by two words of four
    (folder / "list.tsv").write_text("one.wav\tcab bed\ntwo.wav\tfed a\n")
    for path in (folder, folder / "list.tsv"):
        with warm_cache().get(tones) as model:
            found = evaluation.measure(model, examples_from(path, TASK))
        assert found == pytest.approx({"WER": 2 / 4, "CER": 3 / 12, "exact": 1 / 2})
    assert evaluation.difference("cab", "cab") == 0
    assert evaluation.loss(0.1, 0.3) == pytest.approx(0.2)


def test_digits_are_named_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "7_someone_12.wav").write_bytes(file_of(spoken("a")))
    assert [example.expected for example in examples_from(tmp_path, TASK)] == ["seven"]


@pytest.mark.parametrize(
    ("name", "text"), [("list.tsv", "missing.wav\tone"), ("list.tsv", "no tab"), ("sound.wav", "RIFF")]
)
def test_data_of_another_form_is_refused_with_the_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"reads a file with lines `recording<TAB>text`"):
        examples_from(tmp_path / name if name.endswith("tsv") else tmp_path, TASK)


def test_an_answer_is_json(tones: str) -> None:
    with warm_cache().get(tones) as model:
        answer = evaluation_of(TASK).predict(model, file_of(spoken(TEXT)))
    assert json.loads(json.dumps(answer)) == TEXT
