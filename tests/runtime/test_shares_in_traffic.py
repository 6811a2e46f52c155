"""10,000 requests while the share of a canary grows: each is answered once, by the version that its caller must get."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from hearth.aws_lambda.handler import create_handler
from hearth.models.traffic import point
from hearth.settings import get
from hearth.storage.open import open_store
from hearth_build.release import aliases
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.events import event
from tests.support.artifacts import make_text_artifact

MODEL, REQUESTS, THREADS = "sentiment-en", 10_000, 2
LABELS = {"1": "positive", "2": "good", "3": "great"}
SHARES = (0.0, 0.05, 0.1, 0.3, 0.6, 1.0)


class Answer(NamedTuple):
    number: int
    version: str
    label: str
    before: float
    """The share before the request was sent."""
    after: float
    """The share after it was answered."""


@pytest.fixture
def store(serving: Path) -> Path:
    for version in "123":
        if version != "1":
            make_text_artifact(serving, MODEL, version, labels=("negative", LABELS[version]))
    aliases.set_alias(open_store(serving.as_uri()), MODEL, "prod", "1")
    return serving


@pytest.mark.slow
def test_shares_grow_while_requests_are_answered(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    handler, target = create_handler(text.TASKS), open_store(store.as_uri())
    template = event("rest-v1", path=f"/models/{MODEL}", method="POST", body='{"inputs":"good"}')
    share, sent, lock = [0.0, 0.0], [0], threading.Lock()  # what is written surely, and at most

    def ask(number: int) -> Answer:
        with lock:
            sent[0] += 1
            ahead = (sent[0] - 200) // (REQUESTS // len(SHARES))  # steps that the writer should have made
        while steps[0] < ahead:  # on a busy machine the writer waits for its turn
            over.wait(0.001)
        request: Any = deepcopy(template)
        request["headers"] = {"x-hearth-session": f"caller {number}", "content-type": "application/json"}
        request["multiValueHeaders"] = {name: [value] for name, value in request["headers"].items()}
        before = share[0]
        response = handler(request, SimpleNamespace(aws_request_id=str(number)))
        assert response["statusCode"] == 200, response
        version = response["headers"]["x-hearth-model"].partition("@")[2]
        return Answer(number, version, json.loads(response["body"])[0][0]["label"], before, share[1])

    def grow() -> None:
        for step, value in enumerate(SHARES):
            while sent[0] < step * REQUESTS / len(SHARES):
                over.wait(0.001)
            share[1] = value
            aliases.set_canary(target, MODEL, "prod", "2", value)
            aliases.set_alias(target, MODEL, f"other-{step}", "3")  # aliases are changed by others too
            share[0], steps[0] = value, step

    steps = [0]
    over = threading.Event()
    aliases.set_canary(target, MODEL, "prod", "2", 0.0)
    writer = threading.Thread(target=grow)
    writer.start()
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(ask, range(REQUESTS)))
    writer.join(10)

    assert [answer.number for answer in answers] == list(range(REQUESTS))
    for answer in answers:
        assert answer.label == LABELS[answer.version], answer
        place = point(MODEL, "2", f"caller {answer.number}")
        assert answer.version == "2" if place < answer.before else True, answer
        assert answer.version == "1" if place >= answer.after else True, answer
    for value in SHARES:
        settled = [answer for answer in answers if answer.before == answer.after == value]
        assert len(settled) > REQUESTS / len(SHARES) / 2
        count = sum(answer.version == "2" for answer in settled)
        assert abs(count - len(settled) * value) <= 5 * math.sqrt(len(settled) * value * (1 - value))
    lines = [line for line in log_lines(capsys) if line.get("message") == "request"]
    assert Counter(line["request_id"] for line in lines) == {str(number): 1 for number in range(REQUESTS)}
    logged = {line["request_id"]: (line["version"], line["routed"]) for line in lines}
    assert all(logged[str(answer.number)] == (answer.version, f"{MODEL}@{answer.version}") for answer in answers)
    assert set(json.loads((store / MODEL / "aliases.json").read_text())) == {
        "prod",
        *(f"other-{step}" for step in range(len(SHARES))),
    }


def test_a_canary_that_cannot_be_loaded_loses_no_request(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where no earlier request has loaded the alias's own version, too; the log names the version that was meant."""
    (store / MODEL / "2/model.bin").write_bytes(b"damaged")
    (store / MODEL / "3/manifest.json").rename(store / MODEL / "3/manifest.gone")
    for version in "23":
        path = store / MODEL / "aliases.json"
        path.write_text(json.dumps({"prod": {"version": "1", "canary": {"version": version, "share": 1}}}))
        request = event("rest-v1", path=f"/models/{MODEL}", method="POST", body='{"inputs":"good"}')
        response = create_handler(text.TASKS)(request, None)
        assert (response["statusCode"], response["headers"]["x-hearth-model"]) == (200, f"{MODEL}@1")
        line = next(line for line in log_lines(capsys) if line.get("message") == "request")
        assert (line["version"], line["routed"]) == ("1", f"{MODEL}@{version}")


def test_uploads_get_one_result_of_the_version_of_their_key(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliveries are repeated while the share changes."""
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "in").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "out").as_uri())
    get.cache_clear()
    target = open_store(store.as_uri())
    aliases.set_canary(target, MODEL, "prod", "2", 0.3)
    keys = [f"uploads/{MODEL}/{number}.txt" for number in range(200)]
    handler, results = create_handler(text.TASKS), dict[str, bytes]()
    for number, key in enumerate((*keys, *keys)):
        path = tmp_path / "in" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("good")
        detail = {"bucket": {"name": "local"}, "object": {"key": key, "etag": "", "size": 4, "sequencer": "1"}}
        # Whom an earlier test of this thread has let in is not the caller here.
        Context().run(handler, {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}, None)
        result = (tmp_path / "out" / f"{key}.json").read_bytes()
        assert results.setdefault(key, result) == result
        if number == len(keys):
            aliases.set_canary(target, MODEL, "prod", "2", 0.9)
    versions = [json.loads(results[key])["version"] for key in keys]
    assert versions == ["2" if point(MODEL, "2", key) < 0.3 else "1" for key in keys]
