"""Sketches are written while a request is answered, and none is lost to a store that fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import StoreError
from hearth.http.asgi import create_app
from hearth.models import sketch_writer
from hearth.models.cache import warm_cache
from hearth.models.manifest import Reference
from hearth.models.sketch_writer import SketchWriter
from hearth.storage.file import FileStore
from hearth.telemetry import sketches
from hearth_functions.text_classification import app
from tests.conftest import log_lines
from tests.support.requests import rest_event


@pytest.fixture
def watched(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HEARTH_WATCH", (tmp_path / "watch").as_uri())
    settings.get.cache_clear()
    warm_cache.cache_clear()
    sketches.clear()
    monkeypatch.setattr(sketch_writer, "SECONDS", 0.0)
    yield tmp_path / "watch"
    sketches.clear()


def written(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))]


def test_requests_of_server_and_lambda_are_in_the_store_without_their_texts(watched: Path) -> None:
    client = TestClient(create_app(app.TASKS, local=True))
    assert client.post("/models/sentiment-en", json={"inputs": ["a good film", "bad"]}).status_code == 200
    app.handler(rest_event("POST", "/models/sentiment-en", json.dumps({"inputs": "a wonderful movie"})), None)
    assert client.post("/models/sentiment-en", json={"inputs": []}).status_code == 400
    SketchWriter().write()
    (path,) = watched.rglob("*.json")
    assert path.relative_to(watched).parts[:2] == ("sentiment-en", "1")
    sketch = json.loads(path.read_text())
    assert sketch["requests"] == 2
    assert sketch["counts"]["label"][:3] == [1, 2, 0]
    assert set(sketch["counts"]) == {"tokens", "script", "characters_per_token", "unknown", "label", "score"}
    assert "wonderful" not in path.read_text()


def test_explanations_count_their_input_once(watched: Path) -> None:
    client = TestClient(create_app(app.TASKS, local=True))
    assert client.post("/models/sentiment-en/explain", json={"inputs": "a good and wonderful film"}).status_code == 200
    assert sum(sketches.recent("sentiment-en", "1").counts["tokens"]) == 1


def test_a_store_that_fails_keeps_no_request_and_loses_nothing(
    watched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sketches.add_observed("m", "1", {("label", 0): 1})

    def fail(*_: Any, **__: Any) -> str:
        raise StoreError("a secret path")

    writer = SketchWriter()
    with monkeypatch.context() as failing:
        failing.setattr(FileStore, "put", fail)
        writer.write()
    assert "sketches not written" in capsys.readouterr().out
    writer.write()
    assert [sketch["requests"] for sketch in written(watched)] == [1]


def test_a_slow_store_has_one_write_at_a_time_and_keeps_the_newest_counts(
    watched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, begun, goes_on = FileStore.put, threading.Event(), threading.Event()

    def slow_put(self: FileStore, path: str, data: bytes, **options: Any) -> str:
        if not begun.is_set():
            begun.set()
            goes_on.wait(10)
        return put(self, path, data, **options)

    def writes() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "sketches"]

    monkeypatch.setattr(FileStore, "put", slow_put)
    writer, manifest = SketchWriter(), warm_cache().resolve("sentiment-en").manifest
    sketches.add_observed("m", "1", {("label", 0): 1})
    writer.start_if_due(manifest)
    assert begun.wait(10)
    for _ in range(5):
        sketches.add_observed("m", "1", {("label", 0): 1})
        writer.start_if_due(manifest)
    assert len(writes()) == 1
    last = threading.Thread(target=writer.write)  # at the end of the server
    last.start()
    goes_on.set()
    for thread in (last, *writes()):
        thread.join()
    assert [sketch["requests"] for sketch in written(watched)] == [6]


def test_a_request_starts_a_write_when_it_is_due(watched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = structs.replace(
        warm_cache().resolve("sentiment-en").manifest, reference=Reference("dev", 400, {"label": (200, 200)})
    )
    sketches.add_observed("sentiment-en", "1", {("label", 0): 300})
    SketchWriter().start_if_due(manifest)
    for thread in threading.enumerate():
        if thread.name == "sketches":
            thread.join()
    assert len(written(watched)) == 1
    (line,) = [line for line in log_lines(capsys) if line["message"] == "drift"]
    assert line["model"] == "sentiment-en"
    assert line["psi"]["label"] > 1


def test_nothing_is_written_without_a_location(serving: Path) -> None:
    sketches.add_observed("m", "1", {("label", 0): 1})
    writer = SketchWriter()
    writer.start_if_due(warm_cache().resolve("sentiment-en").manifest)
    writer.write()
    assert sketches.take_unwritten()
    sketches.clear()
