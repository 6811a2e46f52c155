"""A shadow's answer is computed after the real one has left, is compared in the log, and reaches nobody."""

from __future__ import annotations

import contextvars
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from starlette.testclient import TestClient

from hearth import deadline, settings
from hearth.auth import api_keys
from hearth.aws_lambda.handler import create_handler
from hearth.aws_lambda.runtime_api import Invocation
from hearth.aws_lambda.streaming import Runtime
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref, Resolved
from hearth.tasks import memory_budget, shadow
from hearth.tasks.generation import Generation, Piece
from hearth.tasks.memory_budget import MemoryBudget
from hearth.tasks.task import Task, Usage
from hearth.telemetry import statistics
from hearth.telemetry.timing import current
from hearth_build.cli import serve
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.events import event
from tests.support.artifacts import make_text_artifact

MODEL, PATH = "sentiment-en", "/models/sentiment-en"


@pytest.fixture
def shadowed(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 2 is the shadow of version 1, and nothing of earlier tests waits."""
    make_text_artifact(serving, MODEL, "2", labels=("negative", "positive"))
    set_shadow(serving, "2")
    statistics.clear()
    # A thread of an earlier test waits for the former condition, and so for ever.
    monkeypatch.setattr(shadow, "_waiting", deque())
    monkeypatch.setattr(shadow, "_changed", threading.Condition())
    monkeypatch.setattr(shadow, "_in_thread", False)
    return serving


def set_shadow(store: Path, version: str) -> None:
    aliases = {"prod": {"version": "1", "shadow": {"version": version, "share": 1.0}}}
    (store / MODEL / "aliases.json").write_text(json.dumps(aliases))


@pytest.fixture
def server(shadowed: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


def shadows(capsys: pytest.CaptureFixture[str], count: int = 1) -> list[dict[str, Any]]:
    """The next log lines of shadows."""
    found, until = list[dict[str, Any]](), time.monotonic() + 10
    while len(found) < count and time.monotonic() < until:
        found += [line for line in log_lines(capsys) if line.get("message") == "shadow"]
        time.sleep(0.01)
    return found


def test_the_local_server_compares_after_it_has_answered(
    server: TestClient, capsys: pytest.CaptureFixture[str]
) -> None:
    response = server.post(PATH, json={"inputs": "good film"})
    assert response.headers["x-hearth-model"] == f"{MODEL}@1"
    (line,) = shadows(capsys)
    assert (line["model"], line["version"], line["shadow"]) == (MODEL, "1", "2")
    assert (line["agreement"], line["distance"]) == (1.0, 0.0)
    assert line["request_id"] == response.headers["x-request-id"]
    # Nobody is charged: only the version that answered has statistics.
    assert statistics.get_record(MODEL, "1", "").success.count == 1
    assert statistics.get_record(MODEL, "2", "") == statistics.Record()


def test_other_answers_disagree_in_every_protocol(
    server: TestClient, shadowed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_text_artifact(shadowed, MODEL, "3", labels=("positive", "negative"))  # says the opposite
    set_shadow(shadowed, "3")
    tensors = [
        {"name": "input_ids", "datatype": "INT64", "shape": [1, 2], "data": [2, 20]},
        {"name": "attention_mask", "datatype": "INT64", "shape": [1, 2], "data": [1, 1]},
    ]
    texts = [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]
    for path, body in (
        (PATH, {"inputs": "good"}),
        (f"/endpoints/{MODEL}/invocations", {"inputs": "good"}),
        (f"/v2/models/{MODEL}/infer", {"inputs": texts}),
    ):
        assert server.post(path, json=body).status_code == 200, path
        (line,) = shadows(capsys)
        assert line["agreement"] == 0.0, path
    assert server.post(f"/v2/models/{MODEL}-raw/infer", json={"inputs": tensors}).status_code == 200
    (line,) = shadows(capsys)
    assert line["agreement"] == 1.0  # the graph is the same, only the labels differ


def test_a_shadow_that_fails_reaches_only_the_log(
    server: TestClient, shadowed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shadowed / MODEL / "2/model.bin").write_bytes(b"damaged")
    assert server.post(PATH, json={"inputs": "good"}).status_code == 200
    (line,) = shadows(capsys)
    assert line["error"] == "integrity_error"
    set_shadow(shadowed, "77")
    assert server.post(PATH, json={"inputs": "good"}).status_code == 200
    (line,) = shadows(capsys)
    assert line["error"] == "not_found"


def test_a_shadow_of_another_task_is_not_asked(
    server: TestClient, shadowed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = shadowed / MODEL / "2/manifest.json"
    document = json.loads(manifest.read_text()) | {"task": "token-classification"}
    manifest.write_text(json.dumps(document))
    assert server.post(PATH, json={"inputs": "good"}).status_code == 200
    (line,) = shadows(capsys)
    assert line["error"] == "manifest_error"


def test_an_explanation_and_a_request_for_a_version_have_no_shadow(server: TestClient) -> None:
    assert server.post(f"{PATH}/explain", json={"inputs": "good"}).status_code == 200
    assert server.post(f"{PATH}@1", json={"inputs": "good"}).status_code == 200
    assert not shadow._waiting


def waiting(count: int = 1) -> list[shadow.Shadow]:
    assert len(shadow._waiting) == count
    return list(shadow._waiting)


def submit(size: int = 10, answered: str = "1") -> None:
    resolved = Resolved(MODEL, Ref(MODEL, "1"), None, shadow=Ref(MODEL, "2"))  # type: ignore[arg-type]
    shadow.submit(resolved, Ref(MODEL, answered), [], "scores", lambda model: [], size, "")


def test_what_waits_is_bounded(shadowed: Path) -> None:
    for _ in range(3):
        submit(shadow.MAX_BYTES // 2)
    waiting(2)
    for _ in range(2 * shadow.MAX_WAITING):
        submit(0)
    waiting(shadow.MAX_WAITING)


def test_the_shadow_is_not_compared_with_itself(shadowed: Path) -> None:
    submit(answered="2")  # because the alias's own version could not be loaded
    waiting(0)


def context(seconds: float = 60) -> SimpleNamespace:
    return SimpleNamespace(aws_request_id="r", get_remaining_time_in_millis=lambda: seconds * 1000)


def test_aws_s_own_runtime_freezes_after_a_response_so_nothing_waits(shadowed: Path) -> None:
    response = create_handler(text.TASKS)(
        event("rest-v1", path=PATH, method="POST", body='{"inputs":"good"}'), context()
    )
    assert response["statusCode"] == 200
    waiting(0)


def test_our_runtime_computes_what_waits_before_it_asks_for_the_next_event(
    shadowed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from hearth.aws_lambda.handler import run_shadows

    monkeypatch.setenv("HEARTH_STREAM", "rest,url")
    settings.get.cache_clear()
    handler = create_handler(text.TASKS)
    handler(event("rest-v1", path=PATH, method="POST", body='{"inputs":"good"}'), context())
    waiting(1)
    contextvars.copy_context().run(run_shadows, context())
    (line,) = shadows(capsys)
    assert line["agreement"] == 1.0
    handler(event("rest-v1", path=PATH, method="POST", body='{"inputs":"good"}'), context())
    contextvars.copy_context().run(run_shadows, context(0))  # no time is left
    waiting(0)
    assert not [line for line in log_lines(capsys) if line.get("message") == "shadow"]


def test_a_stream_is_compared_at_its_end_with_the_seed_that_it_had(shadowed: Path) -> None:
    class Parameters(SimpleNamespace):
        pass

    usage = Usage(seed=7)
    pieces = [Piece(1, -0.1, "to "), Piece(2, -0.1, "be", finish="length")]
    task = Task(
        "text-generation",
        object,
        object,
        lambda model, request: None,
        {},
        lambda model, request: Generation(usage, iter(pieces)),
    )  # type: ignore[arg-type, return-value]
    resolved = Resolved("gpt", Ref("gpt", "1"), None, shadow=Ref("gpt", "2"))  # type: ignore[arg-type]
    observed = shadow.observe(task, resolved, Ref("gpt", "1"))

    class Options(msgspec.Struct, frozen=True):
        seed: int | None = None

    class Request(msgspec.Struct, frozen=True):
        inputs: str
        parameters: Options

    generation = observed.generate(None, Request("To be", Options()))  # type: ignore[arg-type]
    waiting(0)
    assert [piece.text for piece in generation] == ["to ", "be"]
    (waits,) = waiting(1)
    assert waits.answer == [{"generated_text": "to be"}]
    assert waits.size == 5


def test_a_computation_that_yields_waits_until_nothing_else_is_computed() -> None:
    budget, order, release = MemoryBudget(100, 4), list[str](), threading.Event()

    def hold() -> None:
        with budget.reserve(10):
            order.append("request")
            release.wait(10)
            order.append("request ends")

    def yield_to_it() -> None:
        deadline.set_seconds(10)
        with memory_budget.yielding(), budget.reserve(10):
            order.append("shadow")

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not condition() and time.monotonic() < end:
            time.sleep(0.001)

    request = threading.Thread(target=hold)
    request.start()
    until(lambda: order == ["request"])
    waits = threading.Thread(target=yield_to_it)
    waits.start()
    time.sleep(0.05)
    assert order == ["request"]
    with budget.reserve(10):  # another request need not wait for the shadow
        pass
    release.set()
    for thread in (request, waits):
        thread.join(10)
    assert order == ["request", "request ends", "shadow"]


def test_sizes_are_those_of_texts_and_files() -> None:
    assert shadow._size(["abc", b"de", {"a": "f"}, 1]) == 3 + 2 + 1 + 8
    assert np.zeros(1).nbytes == 8


def test_uploads_are_compared_after_their_results_were_written(
    shadowed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = f"uploads/{MODEL}/a.txt"
    (tmp_path / "in" / key).parent.mkdir(parents=True)
    (tmp_path / "in" / key).write_text("good")
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "in").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "out").as_uri())
    settings.get.cache_clear()
    assert not api_keys.has_caller()
    detail = {"bucket": {"name": "local"}, "object": {"key": key, "etag": "", "size": 4, "sequencer": "1"}}
    handler = create_handler(text.TASKS)
    handler({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}, context())
    result = json.loads((tmp_path / "out" / f"{key}.json").read_text())
    assert (result["version"], result["output"][0][0]["label"]) == ("1", "positive")
    lines = log_lines(capsys)
    assert [line["message"] for line in lines] == ["request", "shadow"]
    assert lines[1]["agreement"] == 1.0


def test_our_runtime_answers_first(shadowed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Runtime API has the response before the shadow's answer is computed."""
    order = list[str]()

    class Api:
        def next(self) -> Invocation:
            headers = {"lambda-runtime-aws-request-id": "r", "lambda-runtime-deadline-ms": str(2**42)}
            body = event("rest-v1", path=PATH, method="POST", body='{"inputs":"good"}')
            return Invocation(headers, json.dumps(body).encode())

        def respond(self, invocation: Invocation, body: bytes) -> None:
            order.append("response")

    monkeypatch.setenv("HEARTH_STREAM", "rest,url")
    settings.get.cache_clear()
    monkeypatch.setattr(shadow, "_run", lambda waiting, **options: order.append("shadow"))
    runtime = Runtime(Api(), create_handler(text.TASKS), frozenset())  # type: ignore[arg-type]
    for _ in range(2):
        runtime.serve_next()
    assert order == ["response", "shadow"] * 2


def test_what_a_shadow_computes_is_not_captured(
    shadowed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    private = list[bool]()
    resolved = warm_cache().resolve(f"{MODEL}@1")
    monkeypatch.setattr(shadow, "_in_thread", True)
    shadow.submit(
        msgspec.structs.replace(resolved, shadow=Ref(MODEL, "2")),
        resolved.ref,
        [],
        "scores",
        lambda model: private.append(current().is_private) or [],
        0,
        "",
    )
    shadow.run_waiting()
    assert private == [True]
    assert shadows(capsys)[0]["agreement"] == 1.0
