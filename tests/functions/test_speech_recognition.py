"""automatic-speech-recognition: words from tones, in files of any format and length, and what is refused."""

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
from tests.support.asking import predict as ask_task
from tests.support.sounds import PAUSE, TONE, encode_audio, make_sound_artifact, synthesize

TEXT = "cab bed feed gab"
BEAT = TONE + PAUSE
TASK = "automatic-speech-recognition"
# In this language an a is followed by b and hardly ever by c.
ARPA = (
    "\\1-grams:\n-0.9 </s>\n"
    + "".join(f"-0.9 {letter} 0\n" for letter in "|abcdefg")
    + ("\\2-grams:\n-0.01 a b\n-3 a c\n\\end\\\n")
)


@pytest.fixture
def tones(serving: Path) -> str:
    make_sound_artifact(serving)
    return "tones"


def transcribe(name: str, data: bytes, **parameters: object) -> app.Response:
    return ask_task(app, name, app.Request(data, app.Parameters(**parameters)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (22050, 1), (44100, 2), (48000, 1)])
@pytest.mark.parametrize(
    ("format", "subtype"),
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
def test_files_of_every_format_are_transcribed(tones: str, format: str, subtype: str, rate: int, channels: int) -> None:
    sound = np.stack([synthesize(TEXT, rate)] * channels, 1)
    assert transcribe(tones, encode_audio(sound, rate, format, subtype)).text == TEXT


@pytest.mark.parametrize("beams", [1, 2, 8])
def test_words_have_timestamps(tones: str, beams: int) -> None:
    output = transcribe(tones, encode_audio(synthesize(TEXT)), return_timestamps="word", num_beams=beams)
    assert [chunk.text for chunk in output.chunks] == TEXT.split()
    position = 0
    for chunk in output.chunks:
        start, end = chunk.timestamp
        # With beams, times are those of the likeliest frames; with the best path, of all frames of a letter.
        assert start == pytest.approx(position * BEAT, abs=0.05)
        assert end == pytest.approx((position + len(chunk.text)) * BEAT - PAUSE, abs=0.05)
        position += len(chunk.text) + 1


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("chunk_seconds", [1.0, 1.3, 2.7, 5.0])
def test_chunks_give_the_text_of_the_whole_recording(serving: Path, chunk_seconds: float, beams: int) -> None:
    make_sound_artifact(serving, "chunked", chunk_seconds=chunk_seconds)
    make_sound_artifact(serving, "whole", chunk_seconds=100.0)
    random = np.random.default_rng(4)
    words = ["".join(random.choice([*"abcdefg"], random.integers(1, 6))) for _ in range(25)]
    sound = encode_audio(synthesize(" ".join(words)))
    chunked = transcribe("chunked", sound, num_beams=beams, return_timestamps=True)
    assert chunked.text == " ".join(words)
    unchunked = transcribe("whole", sound, num_beams=beams, return_timestamps=True)
    for chunk, expected in zip(chunked.chunks, unchunked.chunks, strict=True):
        assert chunk.timestamp == pytest.approx(expected.timestamp, abs=0.021)


def test_timestamps_do_not_depend_on_the_margin(serving: Path) -> None:
    make_sound_artifact(serving, "tight")
    make_sound_artifact(serving, "margin", margin_seconds=0.25)
    tight, wide = (
        transcribe(name, encode_audio(synthesize(TEXT)), return_timestamps="word") for name in ("tight", "margin")
    )
    assert wide.text == TEXT
    for chunk, expected in zip(tight.chunks, wide.chunks, strict=True):
        assert chunk.timestamp == pytest.approx(expected.timestamp, abs=0.021)


def test_the_language_model_of_the_artifact_is_used(serving: Path) -> None:
    make_sound_artifact(serving, "plain", beams=4)
    make_sound_artifact(serving, "letters", beams=4, arpa=ARPA)
    ambiguous = synthesize("b") * 0.5 + synthesize("c") * 0.505
    sound = encode_audio(np.concatenate([synthesize("a"), ambiguous]))
    assert "c" in transcribe("plain", sound).text
    assert transcribe("letters", sound).text == "ab"
    assert transcribe("letters", encode_audio(synthesize(TEXT))).text == TEXT


def test_silence_has_no_words(tones: str) -> None:
    output = transcribe(tones, encode_audio(np.zeros(8000)), return_timestamps="word")
    assert output == app.Response("", [])
    assert transcribe(tones, encode_audio(np.zeros(1))).text == ""


@pytest.fixture
def client(tones: str) -> TestClient:
    return TestClient(create_app(app.TASKS, local=True))


def test_the_payloads_of_hugging_face_are_accepted(client: TestClient) -> None:
    sound = encode_audio(synthesize("bad egg"), format="FLAC")
    for path in ("/models/tones", f"/pipeline/{TASK}/tones", "/models/tones?num_beams=3"):
        assert client.post(path, content=sound, headers={"content-type": "audio/flac"}).json() == {"text": "bad egg"}
    body = {"inputs": base64.b64encode(sound).decode(), "parameters": {"return_timestamps": True}}
    output = client.post("/models/tones", json=body).json()
    assert output["text"] == "bad egg"
    assert [chunk["text"] for chunk in output["chunks"]] == ["bad", "egg"]
    assert client.post("/models/tones?return_timestamps=word", content=sound).json() == output
    assert client.post("/models/tones", json=app.TASKS[0].example).json() == {"text": "", "chunks": []}


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"\x1aE\xdf\xa3webm", 400, "damaged"),
        (b"%PDF-1.7", 415, "this file is PDF"),
        (encode_audio(synthesize(TEXT), format="FLAC")[:200], 400, "damaged"),
        (encode_audio(np.zeros(8000 * 121)), 413, "longer than 120 seconds"),
        (encode_audio(np.zeros(0)), 400, "no samples"),
        (b"", 400, "empty"),
        (b'{"inputs": "not base64"}', 400, "inputs"),
        (b'{"inputs": "UklGRg==", "parameters": {"num_beams": 0}}', 400, "num_beams"),
        (b'{"inputs": "UklGRg==", "parameters": {"num_beams": 9999}}', 400, "num_beams"),
        (b'{"inputs": "UklGRg==", "parameters": {"return_timestamps": "letter"}}', 400, "return_timestamps"),
        (b'{"inputs": ["UklGRg=="]}', 400, "inputs"),
        (b'{"inputs": "UklGRg=="}', 415, "this file is RIFF"),
    ],
)
def test_a_refused_request_says_why(client: TestClient, content: bytes, status: int, message: str) -> None:
    response = client.post("/models/tones", content=content)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]


def test_evaluation_measures_error_rates_of_files_and_folders(tones: str, tmp_path: Path) -> None:
    evaluation = evaluation_of(TASK)
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, text in (("one", "cab bed"), ("two", "feed")):
        (folder / f"{name}.wav").write_bytes(encode_audio(synthesize(text)))
    (folder / "one.txt").write_text("Cab, bed.\n")
    (folder / "two.txt").write_text("fed a")  # differs from the recording by two words of four
    (folder / "list.tsv").write_text("one.wav\tcab bed\ntwo.wav\tfed a\n")
    for path in (folder, folder / "list.tsv"):
        with warm_cache().get(tones) as model:
            metrics = evaluation.measure(model, examples_from(path, TASK))
        assert metrics == pytest.approx({"WER": 2 / 4, "CER": 3 / 12, "exact": 1 / 2})
    assert evaluation.difference("cab", "cab") == 0
    assert evaluation.loss(0.1, 0.3) == pytest.approx(0.2)


def test_digits_are_read_from_file_names(tmp_path: Path) -> None:
    (tmp_path / "7_someone_12.wav").write_bytes(encode_audio(synthesize("a")))
    assert [example.expected for example in examples_from(tmp_path, TASK)] == ["seven"]


@pytest.mark.parametrize(
    ("name", "text"), [("list.tsv", "missing.wav\tone"), ("list.tsv", "no tab"), ("sound.wav", "RIFF")]
)
def test_an_unreadable_data_set_error_names_the_format(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match="a column of paths of recordings and one of texts"):
        examples_from(tmp_path / name if name.endswith("tsv") else tmp_path, TASK)


def test_the_output_of_an_evaluation_is_json(tones: str) -> None:
    with warm_cache().get(tones) as model:
        output = evaluation_of(TASK).predict(model, encode_audio(synthesize(TEXT)))
    assert json.loads(json.dumps(output)) == TEXT
