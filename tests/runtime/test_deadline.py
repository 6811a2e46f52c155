"""Runs that never end are stopped: a graph with an endless loop, everywhere that could wait for it."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from starlette.testclient import TestClient

from hearth import deadline, settings
from hearth.errors import DeadlineExceeded
from hearth.models import manifest
from hearth.models.cache import warm_cache
from hearth.models.download import describe
from hearth.models.model import Model
from hearth.ops.audio import ctc
from hearth_build.cli.serve import app as local_app
from hearth_functions.text_classification.app import handler
from tests.support.artifacts import make_text_artifact, publish
from tests.support.requests import rest_event

ROUNDS = 10**12


class Context:
    aws_request_id = "7f2c6f0e-6f4e-4f0e-9a51-0f0b8e1f6a11"

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(max(self._end - time.monotonic(), 0) * 1000)


def make_endless(store: Path, rounds: int = ROUNDS) -> Path:
    """Publish a sentiment model that counts to `rounds` before it returns."""
    artifact = make_text_artifact(store, model="endless")
    proto = onnx.load(artifact / "model.onnx", load_external_data=False)
    loop_inputs = (("round", TensorProto.INT64), ("on", TensorProto.BOOL), ("count", TensorProto.FLOAT))
    loop_outputs = (("on_out", TensorProto.BOOL), ("count_out", TensorProto.FLOAT))
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Add", ["count", "one"], ["count_out"])],
        "body",
        [helper.make_tensor_value_info(name, kind, []) for name, kind in loop_inputs],
        [helper.make_tensor_value_info(name, kind, []) for name, kind in loop_outputs],
        [numpy_helper.from_array(np.array(1, np.float32), "one")],
    )
    proto.graph.node[-1].output[0] = "sums"
    proto.graph.node.append(helper.make_node("Loop", ["rounds", "", "zero"], ["counted"], body=body))
    proto.graph.node.append(helper.make_node("Add", ["sums", "counted"], ["logits"]))
    for name, value in (("rounds", np.array(rounds, np.int64)), ("zero", np.array(0, np.float32))):
        proto.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.save_model(proto, artifact / "model.onnx")
    parsed = manifest.parse((artifact / "manifest.json").read_bytes())
    names = [file.path for file in parsed.files]
    return publish(artifact, msgspec.structs.replace(parsed, files=tuple(describe(artifact / name) for name in names)))


def loaded(folder: Path) -> Model:
    return Model(manifest.parse((folder / "manifest.json").read_bytes()), folder, 1)


def preload(*names: str) -> None:
    """Load models before the test, so that downloads do not count as run time."""
    for name in names:
        warm_cache().preload(name)


FEEDS = {"input_ids": np.ones((1, 3), np.int64), "attention_mask": np.ones((1, 3), np.int64)}


@pytest.fixture
def limited() -> Any:
    yield
    deadline.set_from(None)


@pytest.mark.usefixtures("limited")
def test_a_run_is_stopped_and_the_next_one_succeeds(tmp_path: Path) -> None:
    endless, good = loaded(make_endless(tmp_path)), loaded(make_text_artifact(tmp_path))
    for _ in range(2):
        started = time.monotonic()
        deadline.set_seconds(0.5)
        with pytest.raises(DeadlineExceeded, match="send less"):
            endless.run(FEEDS)
        assert 0.45 < time.monotonic() - started < 4
        with pytest.raises(DeadlineExceeded):  # no time is left
            good.run(FEEDS)
        deadline.set_seconds(5)
        assert good.run(FEEDS)[0].shape == (1, 2)
    deadline.set_from(None)
    assert good.run(FEEDS)[0].shape == (1, 2)
    assert sum(thread.name == "hearth-deadline" for thread in threading.enumerate()) == 1


@pytest.mark.usefixtures("limited")
def test_the_same_graph_returns_with_few_rounds(tmp_path: Path) -> None:
    deadline.set_seconds(5)
    assert loaded(make_endless(tmp_path, rounds=10)).run(FEEDS)[0].min() >= 10


@pytest.mark.usefixtures("limited")
def test_a_run_with_bound_buffers_is_stopped(tmp_path: Path) -> None:
    endless = loaded(make_endless(tmp_path))
    binding = endless.session().io_binding()
    for name, value in FEEDS.items():
        binding.bind_cpu_input(name, value)
    binding.bind_output("logits")
    deadline.set_seconds(0.3)
    with pytest.raises(DeadlineExceeded):
        endless.run_bound(binding)


def test_a_block_shortens_the_deadline_and_never_extends_it() -> None:
    deadline.set_from(None)
    with deadline.within(5):
        assert 4 < (deadline.remaining() or 0) <= 5
        with deadline.within(60):
            assert (deadline.remaining() or 60) <= 5
    assert deadline.remaining() is None


def test_each_thread_has_its_own_deadline(tmp_path: Path) -> None:
    endless = loaded(make_endless(tmp_path))

    def seconds(limit: float) -> float:
        started = time.monotonic()
        deadline.set_seconds(limit)
        with pytest.raises(DeadlineExceeded):
            endless.run(FEEDS)
        return time.monotonic() - started

    with ThreadPoolExecutor(3) as pool:
        durations = list(pool.map(seconds, limits := [1.2, 0.3, 0.7]))
    assert all(limit <= duration < limit + 3 for limit, duration in zip(limits, durations, strict=True))


def test_an_error_of_the_graph_is_not_a_deadline(tmp_path: Path) -> None:
    good = loaded(make_text_artifact(tmp_path))
    deadline.set_seconds(5)
    with pytest.raises(Exception, match="indices element out of data bounds"):
        good.run({**FEEDS, "input_ids": np.full((1, 3), 10_000)})
    deadline.set_from(None)


def test_a_lambda_responds_before_its_timeout(serving: Path) -> None:
    make_endless(serving)
    preload("endless", "sentiment-en")
    events = [
        rest_event("POST", f"/models/{name}", json.dumps({"inputs": "good"})) for name in ("endless", "sentiment-en")
    ]
    assert handler(events[1], Context(30))["statusCode"] == 200
    started = time.monotonic()
    response = handler(events[0], Context(2.5))
    assert time.monotonic() - started < 2.5
    assert (response["statusCode"], json.loads(response["body"])["error_type"]) == (504, "timeout")
    assert handler(events[1], Context(30))["statusCode"] == 200
    assert handler(events[1], None)["statusCode"] == 200  # the deadline was only that invocation's


def test_the_local_server_stops_a_run(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_endless(serving)
    monkeypatch.setenv("HEARTH_RUN_SECONDS", "1")
    settings.get.cache_clear()
    preload("endless", "sentiment-en")
    with TestClient(local_app()) as client:
        response = client.post("/models/endless", json={"inputs": "good"})
        assert (response.status_code, response.json()["error_type"]) == (504, "timeout")
        assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200
        body = {"inputs": [{"name": name, "shape": [1, 1], "datatype": "INT64", "data": [1]} for name in FEEDS]}
        response = client.post("/v2/models/endless-raw/infer", json=body)
        assert response.status_code == 504, response.text


def test_beam_search_stops_at_the_deadline() -> None:
    logs = np.log(np.full((10, 3), 1 / 3))
    deadline.set_seconds(5)
    assert ctc.beam_search(logs, 0, 4)
    deadline.set_seconds(0)
    with pytest.raises(DeadlineExceeded):
        ctc.beam_search(logs, 0, 4)
    deadline.set_from(None)
