"""Recent answers are remembered without inputs; inputs are captured only where the owner says so, and redacted."""

from __future__ import annotations

import io
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import SettingsError
from hearth.http.asgi import create_app
from hearth.models.cache import warm_cache
from hearth.tasks import answers
from hearth.tasks.answers import REDACTIONS, Answer, RecentAnswers, expire, redact, scores_of, without_metadata
from hearth.tasks.schema import Label
from hearth.tasks.task import open_model
from hearth.telemetry.timing import begin
from hearth_functions.text_classification import app


def capturing(folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> TestClient:
    monkeypatch.setenv("HEARTH_CAPTURE", folder.as_uri())
    for name, value in {"HEARTH_CAPTURE_SHARE": "1", **variables}.items():
        monkeypatch.setenv(name, value)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    return TestClient(create_app(app.TASKS, local=True))


def captured(folder: Path) -> list[dict[str, Any]]:
    for thread in threading.enumerate():
        if thread.name == "capture":
            thread.join()
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


def test_inputs_are_captured_redacted_with_their_scores(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = capturing(tmp_path / "captured", monkeypatch)
    texts = ["a good film, write to me@example.org or +49 30 901820", "bad, see https://example.org/x?y=1"]
    response = client.post("/models/sentiment-en", json={"inputs": texts})
    first, second = captured(tmp_path / "captured")
    assert first["text"] == "a good film, write to [email] or [number]"
    assert second["text"] == "bad, see [url]"
    assert first["id"] == f"{response.headers['x-request-id']}-0"
    assert (first["label"], set(first["scores"])) == ("positive", {"negative", "positive"})
    assert (tmp_path / "captured").stat().st_mode & 0o077 == 0


def test_nothing_is_captured_without_the_owner_or_against_the_client(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = capturing(tmp_path / "captured", monkeypatch)
    client.post("/models/sentiment-en", json={"inputs": "good"}, headers={"x-hearth-capture": "off"})
    client.post("/models/sentiment-en", json={"inputs": []})
    assert not captured(tmp_path / "captured")
    monkeypatch.setenv("HEARTH_CAPTURE_SHARE", "0")
    settings.get.cache_clear()
    client.post("/models/sentiment-en", json={"inputs": "good"})
    assert not captured(tmp_path / "captured")


def test_the_work_of_a_shadow_is_not_captured(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    capturing(tmp_path / "captured", monkeypatch)
    begin()
    task, lease = open_model(app.TASKS, warm_cache().resolve("sentiment-en"))
    with lease as model:
        task.predict(model, app.Request("good"))
    assert not captured(tmp_path / "captured")


def test_the_share_is_kept(monkeypatch: pytest.MonkeyPatch, serving: Path, tmp_path: Path) -> None:
    client = capturing(tmp_path / "captured", monkeypatch, HEARTH_CAPTURE_SHARE="0.3")
    draws = iter([0.1, 0.5, 0.29, 0.31])
    monkeypatch.setattr(answers._generator, "random", lambda: next(draws))
    for _ in range(4):
        client.post("/models/sentiment-en", json={"inputs": "good"})
    assert len(captured(tmp_path / "captured")) == 2


def test_a_store_that_fails_fails_no_request(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    client = capturing(tmp_path / "file", monkeypatch)
    assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200


def test_a_slow_store_keeps_few_requests_in_memory(
    serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = capturing(tmp_path / "captured", monkeypatch)
    open_store, is_fast, opened = answers.open_store, threading.Event(), []

    def slow(uri: str) -> Any:
        opened.append(uri)
        is_fast.wait(30)
        return open_store(uri)

    monkeypatch.setattr(answers, "open_store", slow)
    for _ in range(3 * answers.MAX_WRITING):
        assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200
    assert len(opened) <= answers.MAX_WRITING
    is_fast.set()
    assert len(captured(tmp_path / "captured")) == answers.MAX_WRITING
    client.post("/models/sentiment-en", json={"inputs": "good"})
    assert len(captured(tmp_path / "captured")) == answers.MAX_WRITING + 1


def test_what_is_older_is_deleted_of_every_version(tmp_path: Path) -> None:
    for version, day in (("1", "2026-10-01"), ("1", "2026-11-29"), ("2", "2026-10-31"), ("2", "2026-11-01")):
        (tmp_path / "m" / version / day).mkdir(parents=True)
    before = datetime(2026, 11, 1, tzinfo=UTC)
    labels = tmp_path / "m/1/labels"
    labels.mkdir()
    for name, age in (("old-0.json", 1), ("new-0.json", -1)):
        (labels / name).touch()
        os.utime(labels / name, (before.timestamp() - age,) * 2)
    expire(tmp_path, before)
    left = {path.relative_to(tmp_path / "m").as_posix() for path in tmp_path.glob("m/*/*")}
    assert left == {"1/2026-11-29", "1/labels", "2/2026-11-01"}
    assert [path.name for path in labels.iterdir()] == ["new-0.json"]


def test_a_capture_deletes_what_is_older(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "captured/another-model/7/2026-01-01"
    old.mkdir(parents=True)
    client = capturing(tmp_path / "captured", monkeypatch)
    client.post("/models/sentiment-en", json={"inputs": "good"})
    assert len(captured(tmp_path / "captured")) == 1
    assert not old.exists()


def test_pictures_lose_their_metadata() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "my home"
    Image.new("RGB", (8, 8), "red").save(buffer, "JPEG", exif=exif)
    assert b"my home" in buffer.getvalue()
    clean = without_metadata(buffer.getvalue())
    assert clean.startswith(b"\xff\xd8")
    assert b"my home" not in clean
    assert without_metadata(b"no picture") == b""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call 030-901820 now", "call [number] now"),
        ("a b@c.de d", "a [email] d"),
        ("www.example.org/path", "[url]"),
        ("2 of 10 films", "2 of 10 films"),
        ("a" * 100_000 + "@", "a" * 100_000 + "@"),
    ],
)
def test_rules_replace_what_they_name(text: str, expected: str) -> None:
    assert redact(text, tuple(REDACTIONS)) == expected


def test_settings_name_wrong_rules() -> None:
    assert settings.read({"HEARTH_CAPTURE_REDACT": "none"}).capture_redact == ()
    assert set(settings.read({}).capture_redact) == set(REDACTIONS) == set(settings.REDACTIONS)
    with pytest.raises(SettingsError, match="HEARTH_CAPTURE_REDACT"):
        settings.read({"HEARTH_CAPTURE_REDACT": "names"})
    with pytest.raises(SettingsError, match="HEARTH_CAPTURE_SHARE must be at most 1"):
        settings.read({"HEARTH_CAPTURE_SHARE": "10"})


def test_scores_belong_to_their_inputs() -> None:
    good, bad = Label("good", 0.9), Label("bad", 0.1)
    assert [*scores_of([good, bad], 1)] == [{"good": 0.9, "bad": 0.1}]
    assert [*scores_of([[good], [bad]], 2)] == [{"good": 0.9}, {"bad": 0.1}]
    assert not [*scores_of([good, bad], 2)]
    assert not [*scores_of("a text", 1)]


def test_answers_are_bounded_and_belong_to_a_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWERS", 2)
    recent, answer = RecentAnswers(), Answer("m", "1", "good", 0.9)
    for number in range(3):
        recent.add("a", str(number), answer)
    assert recent.find("a", "0") is None
    assert recent.find("b", "2") is None
    assert recent.take("a", "2") == answer
    assert recent.take("a", "2") is None
