"""Batches of a Distributed Map, sent to the handler, with objects in a local S3 server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth import deadline
from hearth.async_inference import batch, uploads
from hearth.async_inference.batch import BatchFailedError
from hearth.async_inference.results import predict_object
from hearth.errors import StoreError
from hearth.storage.s3 import S3Store
from hearth_functions.image_classification import app as image
from hearth_functions.tabular import app as tabular
from hearth_functions.text_classification import app as text
from tests.support.artifacts import make_table_artifact
from tests.support.pictures import picture
from tests.support.s3 import s3_of_this_process

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)


@pytest.fixture
def s3(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), HEARTH_OUTPUT="s3://outbox/results") as s3:
        yield s3


def event(s3: Any, prefix: str, model: str = "sentiment-en", run: str = "run-1") -> dict[str, Any]:
    """Return the event that the map sends for the objects under `prefix`."""
    objects = s3.list_objects_v2(Bucket="inbox", Prefix=prefix)["Contents"]
    items = [
        {"Key": row["Key"], "Etag": row["ETag"], "Size": row["Size"], "LastModified": 1, "StorageClass": "STANDARD"}
        for row in objects
    ]
    return {"batch": {"bucket": "inbox", "model": model, "run": run, "function": "f"}, "Items": items}


def results(s3: Any) -> dict[str, Any]:
    objects = s3.list_objects_v2(Bucket="outbox").get("Contents", ())
    return {row["Key"]: json.loads(s3.get_object(Bucket="outbox", Key=row["Key"])["Body"].read()) for row in objects}


def test_objects_may_ask_for_explanations(s3: Any, serving: Path) -> None:
    make_table_artifact(serving, columns=dict.fromkeys(("age", "hours", "rooms"), (1.0, 2.0, 3.0)))
    row = {"age": 9, "hours": 4, "rooms": 2}
    body = json.dumps({"inputs": [row], "parameters": {"explain": True}}).encode()
    s3.put_object(Bucket="inbox", Key="batch/tabular-regression/row.json", Body=body)
    output = tabular.handler(event(s3, "batch/", "tabular-regression"), CONTEXT)
    assert (output["done"], output["failed"]) == (1, [])
    (explanation,) = (
        result["output"]["explanation"] for result in results(s3).values() if "explanation" in str(result)
    )
    assert [part["value"] for part in explanation["parts"]] == pytest.approx([14, -6, 0], abs=1e-4)
    assert "outputs" not in explanation  # only of written answers


def test_every_item_has_a_result_or_a_failure(s3: Any) -> None:
    bodies = {"a b+ü.png": picture(), "b.png": b"no picture", "c.png": picture(), "folder/": b""}
    for name, body in bodies.items():
        s3.put_object(Bucket="inbox", Key=f"batch/resnet20-cifar10/{name}", Body=body)
    sent = event(s3, "batch/", "resnet20-cifar10")
    sent["Items"].append({"Key": "batch/gone.png", "Etag": "x", "Size": 5})
    sent["Items"].append({"Key": "batch/vast.png", "Etag": "x", "Size": uploads.MAX_BYTES + 1})
    output = image.handler(sent, CONTEXT)
    assert output["done"] == 3
    assert {row["key"].rpartition("/")[2]: row["error_type"] for row in output["failed"]} == {
        "b.png": "unsupported_media",
        "gone.png": "not_found",
        "vast.png": "payload_too_large",
    }
    assert all(row["error"] for row in output["failed"])
    written = results(s3)
    assert sorted(written) == [f"results/run-1/batch/resnet20-cifar10/{name}.json" for name in ("a b+ü.png", "c.png")]
    first = written["results/run-1/batch/resnet20-cifar10/a b+ü.png.json"]
    assert (first["model"], first["version"], first["output"][0]["label"]) == ("resnet20-cifar10", "1", "red")


def test_a_repeated_batch_does_not_write_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"i love this")
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 2, "failed": []}
    before = results(s3)
    for name in "ab":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"awful")
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 2, "failed": []}
    assert results(s3) == before, "the results of the run did not change"
    assert text.handler(event(s3, "batch/", run="run-2"), CONTEXT)["done"] == 2
    assert results(s3)["results/run-2/batch/a.txt.json"]["output"][0][0]["label"] == "negative"


def test_a_store_error_makes_the_map_retry(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"i love this")
    put, successes = S3Store.put, [1]

    def failing(self: S3Store, path: str, *args: Any, **kwargs: Any) -> str:
        if not successes:
            raise StoreError("the store returned 503")
        successes.pop()
        return put(self, path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", failing)
        with pytest.raises(BatchFailedError, match="503"):
            text.handler(event(s3, "batch/"), CONTEXT)
    assert len(results(s3)) == 1
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 3, "failed": []}
    assert len(results(s3)) == 3


class Clock:
    """A clock that advances only when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Invocation(SimpleNamespace):
    """A context whose invocation leaves 100 s for the work."""

    def get_remaining_time_in_millis(self) -> float:
        return (100 + deadline.MARGIN) * 1000


@pytest.fixture
def send(s3: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], list[dict[str, Any] | None]]:
    """Send a batch until it is not raised any more, as the state machine does; return each answer, None for a raised
    one. Each object takes as many seconds as it says."""
    clock = Clock()

    def predict(tasks: Any, model: str, task: str, body: bytes, source: Any) -> Any:
        clock.now += min(int(body), max(deadline.remaining() or 0, 0))
        deadline.check()
        return predict_object(tasks, model, task, b"good", source)

    def send_until_done(seconds: list[int]) -> list[dict[str, Any] | None]:
        for number, value in enumerate(seconds):
            s3.put_object(Bucket="inbox", Key=f"batch/{number}.txt", Body=str(value).encode())
        answers: list[dict[str, Any] | None] = []
        while len(answers) < 3 and not any(answers):
            try:
                answers.append(text.handler(event(s3, "batch/"), Invocation(aws_request_id="request-1")))
            except BatchFailedError:
                answers.append(None)
        return answers

    monkeypatch.setattr(deadline, "time", clock)
    monkeypatch.setattr(batch, "predict_object", predict)
    return send_until_done


@pytest.mark.parametrize(
    ("seconds", "attempts", "late"),
    [
        ([1, 900, 1], 1, [1]),
        ([900, 1, 1], 1, [0]),
        ([60, 60], 2, []),
        ([40, 900, 1], 2, [1]),
        ([900, 900, 0], 2, [0, 1]),
        ([900], 1, [0]),
        ([60, 60, 60], 3, []),
    ],
)
def test_an_object_that_takes_a_whole_invocation_blocks_none_behind_it(
    send: Any, seconds: list[int], attempts: int, late: list[int]
) -> None:
    answers = send(seconds)
    assert answers[:-1] == [None] * (attempts - 1)
    assert answers[-1]["done"] == len(seconds) - len(late)
    assert [(row["key"], row["error_type"]) for row in answers[-1]["failed"]] == [
        (f"batch/{number}.txt", "timeout") for number in late
    ]


@pytest.mark.parametrize(
    "change",
    [{"Items": 5}, {"Items": [{"Size": 1}]}, {"batch": {}}, {"batch": {"bucket": "b", "model": "m", "run": "../x"}}],
)
def test_a_malformed_batch_is_a_bad_request(serving: Path, change: dict[str, Any]) -> None:
    sent = {"batch": {"bucket": "inbox", "model": "sentiment-en", "run": "r"}, "Items": []} | change
    assert text.handler(sent, CONTEXT)["error_type"] == "bad_request"


def test_an_unknown_model_fails_each_item(s3: Any) -> None:
    s3.put_object(Bucket="inbox", Key="batch/a.txt", Body=b"x")
    output = text.handler(event(s3, "batch/", "none"), CONTEXT)
    assert (output["done"], output["failed"][0]["error_type"]) == (0, "not_found")
