"""Checkpoints: another attempt goes on from there, with the result of an attempt that was never interrupted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth import settings
from hearth.async_inference import storage_events, uploads
from hearth.errors import DeadlineExceeded, StoreError
from hearth.storage.open import open_store
from hearth.tasks import checkpoint, tracking
from hearth.tasks.checkpoint import Checkpoint, Progress
from hearth_functions.object_tracking import app
from tests.conftest import log_lines
from tests.functions.films import MODEL, frames, make_squares, make_video
from tests.support.memory_store import MemoryStore

PATH = "tracks/m/t1.json.checkpoint"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 0)


def test_a_state_is_that_of_the_same_input_and_computation() -> None:
    store = MemoryStore()
    Checkpoint(store, PATH, "film 1").save("model@1", lambda: b"state", Progress(8, 20))
    assert Checkpoint(store, PATH, "film 1").load("model@1") == b"state"
    assert Checkpoint(store, PATH, "film 1").load("model@2") == b""
    assert Checkpoint(store, PATH, "film 2").load("model@1") == b""
    assert Checkpoint(store, "nothing", "film 1").load("model@1") == b""
    assert checkpoint.read_progress(store, PATH) == Progress(8, 20)
    assert checkpoint.read_progress(store, "nothing") is None
    store.put(PATH, b"\xff damaged")
    assert Checkpoint(store, PATH, "film 1").load("model@1") == b""
    assert checkpoint.read_progress(store, PATH) is None


def test_a_checkpoint_is_written_at_most_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS", 60)
    store = MemoryStore()
    Checkpoint(store, PATH, "film").save("model@1", lambda: b"state", Progress(8, 20))
    assert checkpoint.read_progress(store, PATH) is None


def test_a_checkpoint_that_cannot_be_written_is_only_logged(capsys: pytest.CaptureFixture[str]) -> None:
    class Full(MemoryStore):
        def put(self, *arguments: Any, **options: Any) -> str:
            raise StoreError("full")

    Checkpoint(Full(), PATH, "film").save("model@1", lambda: b"state", Progress(8, 20))
    assert [line["reason"] for line in log_lines(capsys)] == ["full"]


def test_without_a_checkpoint_there_is_none() -> None:
    assert checkpoint.current() is None
    attempt = Checkpoint(MemoryStore(), PATH, "film")
    with checkpoint.use(attempt):
        assert checkpoint.current() is attempt
    assert checkpoint.current() is None


def interrupted_after(batches: int, detected: list[int]) -> Any:
    """A detector that runs out of time after some batches; `detected` gets the numbers of their frames."""
    detect, left = tracking.detect, [batches]

    def detect_or_end(model: Any, pictures: Any, *options: Any) -> Any:
        if not left[0]:
            raise DeadlineExceeded("the invocation's time is over")
        left[0] -= 1
        detected.append(len(pictures))
        return detect(model, pictures, *options)

    return detect_or_end


@pytest.mark.slow
def test_a_film_goes_on_where_its_worker_died(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each delivery gets two batches of frames further; the result is that of a single one."""
    make_squares(serving)
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "in").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "out").as_uri())
    settings.get.cache_clear()
    ids = [f"t{number:032x}.{MODEL}" for number in (1, 2)]
    film, results = make_video(frames(40)), []
    for upload_id, batches in zip(ids, (100, 2), strict=True):
        key = uploads.parse_id(upload_id).key
        (tmp_path / "in" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / key).write_bytes(film)
        detail = {"bucket": {"name": "local"}, "object": {"key": key, "etag": "", "size": len(film), "sequencer": "1"}}
        event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
        detected, deliveries = list[int](), 0
        while uploads.get_result(upload_id) is None:
            with monkeypatch.context() as patch:
                patch.setattr(tracking, "detect", interrupted_after(batches, detected))
                try:
                    storage_events.handle(app.TASKS, event, None)
                except storage_events.EventFailedError:
                    pending = uploads.get_pending(upload_id)
                    assert pending.status == "running"
                    assert pending.progress == uploads.FilmProgress(sum(detected), 40)
            deliveries += 1
        assert sum(detected) == 40, "no frame is detected twice"
        results.append((deliveries, json.loads(uploads.get_result(upload_id) or b"")["output"]))
    (once, whole), (several, resumed) = results
    assert (once, several) == (1, 3)
    assert resumed == whole
    assert len(whole["tracks"]) == 2
    uploads.delete(ids[1])
    assert not [path for path in open_store((tmp_path / "out").as_uri()).list() if ids[1][:33] in path]
