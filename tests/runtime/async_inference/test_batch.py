"""Batches of a Distributed Map through the handler, with objects in a real S3 server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth.async_inference import uploads
from hearth.async_inference.batch import BatchFailedError
from hearth.errors import StoreError
from hearth.storage.s3 import S3Store
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.functions.test_predict import picture
from tests.support.s3 import s3_of_this_process

CONTEXT = SimpleNamespace(aws_request_id="request-1", function_name="f", memory_limit_in_mb=512)


@pytest.fixture
def s3(serving: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), HEARTH_OUTPUT="s3://outbox/results") as s3:
        yield s3


def event(s3: Any, prefix: str, model: str = "sentiment-en", run: str = "run-1") -> dict[str, Any]:
    """What the map hands over of a listing."""
    listed = s3.list_objects_v2(Bucket="inbox", Prefix=prefix)["Contents"]
    items = [
        {"Key": row["Key"], "Etag": row["ETag"], "Size": row["Size"], "LastModified": 1, "StorageClass": "STANDARD"}
        for row in listed
    ]
    return {"batch": {"bucket": "inbox", "model": model, "run": run, "function": "f"}, "Items": items}


def results(s3: Any) -> dict[str, Any]:
    found = s3.list_objects_v2(Bucket="outbox").get("Contents", ())
    return {row["Key"]: json.loads(s3.get_object(Bucket="outbox", Key=row["Key"])["Body"].read()) for row in found}


def test_every_item_has_its_result_and_bad_ones_a_row(s3: Any) -> None:
    bodies = {"a b+ü.png": picture(), "b.png": b"no picture", "c.png": picture(), "folder/": b""}
    for name, body in bodies.items():
        s3.put_object(Bucket="inbox", Key=f"batch/resnet20-cifar10/{name}", Body=body)
    asked = event(s3, "batch/", "resnet20-cifar10")
    asked["Items"].append({"Key": "batch/gone.png", "Etag": "x", "Size": 5})
    asked["Items"].append({"Key": "batch/vast.png", "Etag": "x", "Size": uploads.MAX_BYTES + 1})
    answer = image.handler(asked, CONTEXT)
    assert answer["done"] == 3
    assert {row["key"].rpartition("/")[2]: row["error_type"] for row in answer["failed"]} == {
        "b.png": "unsupported_media",
        "gone.png": "not_found",
        "vast.png": "payload_too_large",
    }
    assert all(row["error"] for row in answer["failed"])
    written = results(s3)
    assert sorted(written) == [f"results/run-1/batch/resnet20-cifar10/{name}.json" for name in ("a b+ü.png", "c.png")]
    first = written["results/run-1/batch/resnet20-cifar10/a b+ü.png.json"]
    assert (first["model"], first["version"], first["output"][0]["label"]) == ("resnet20-cifar10", "1", "red")


def test_a_batch_that_comes_twice_writes_once(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"i love this")
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 2, "failed": []}
    before = results(s3)
    for name in "ab":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"awful")
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 2, "failed": []}
    assert results(s3) == before, "the run's results are what they were"
    assert text.handler(event(s3, "batch/", run="run-2"), CONTEXT)["done"] == 2
    assert results(s3)["results/run-2/batch/a.txt.json"]["output"][0][0]["label"] == "negative"


def test_a_store_that_is_down_makes_the_map_try_again(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        s3.put_object(Bucket="inbox", Key=f"batch/{name}.txt", Body=b"i love this")
    put, left = S3Store.put, [1]

    def failing(self: S3Store, path: str, *rest: Any, **more: Any) -> str:
        if not left:
            raise StoreError("the store returned 503")
        left.pop()
        return put(self, path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(S3Store, "put", failing)
        with pytest.raises(BatchFailedError, match="503"):
            text.handler(event(s3, "batch/"), CONTEXT)
    assert len(results(s3)) == 1
    assert text.handler(event(s3, "batch/"), CONTEXT) == {"done": 3, "failed": []}
    assert len(results(s3)) == 3


@pytest.mark.parametrize(
    "change",
    [{"Items": 5}, {"Items": [{"Size": 1}]}, {"batch": {}}, {"batch": {"bucket": "b", "model": "m", "run": "../x"}}],
)
def test_another_form_is_a_bad_request(serving: Path, change: dict[str, Any]) -> None:
    asked = {"batch": {"bucket": "inbox", "model": "sentiment-en", "run": "r"}, "Items": []} | change
    assert text.handler(asked, CONTEXT)["error_type"] == "bad_request"


def test_an_unknown_model_fails_each_item(s3: Any) -> None:
    s3.put_object(Bucket="inbox", Key="batch/a.txt", Body=b"x")
    answer = text.handler(event(s3, "batch/", "none"), CONTEXT)
    assert (answer["done"], answer["failed"][0]["error_type"]) == (0, "not_found")
