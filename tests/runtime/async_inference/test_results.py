"""One result per version of an object, and the newest one under the plain key, whatever the order of the events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hearth.async_inference import results
from hearth.async_inference.results import CreatedObject, Result, Superseded, predict_object, write_result_once
from hearth.errors import BadRequest, NotFound
from hearth.storage.base import Conflict
from hearth.telemetry.timing import begin
from hearth_functions.text_classification import app
from tests.support.memory_store import MemoryStore

KEY = "uploads/m/a"


def created(sequencer: str = "01", version: str = "", *, key: str = KEY, etag: str = "tag") -> CreatedObject:
    return CreatedObject("inbox", key, etag, 4, sequencer, version)


def result_of(entry: CreatedObject, output: Any = "answer") -> Result:
    return Result("m", "1", entry.description, output)


def write(output: MemoryStore, entry: CreatedObject, answer: Any = "answer") -> str:
    return write_result_once(output, entry, lambda: result_of(entry, answer))


def read(output: MemoryStore, path: str = f"{KEY}.json") -> Any:
    return json.loads(output.objects[path])["output"]


def never() -> Result:
    pytest.fail("there is a result already")


def superseded() -> Result:
    raise Superseded


def test_a_description_names_the_version_only_where_there_is_one() -> None:
    assert created("01").description == {"bucket": "inbox", "key": KEY, "etag": "tag", "sequencer": "01"}
    assert created("01", "v").description["version"] == "v"


def test_a_prediction_names_the_model_and_the_version(serving: Path) -> None:
    timing = begin()
    result = predict_object(app.TASKS, "sentiment-en@prod", "", b"good", {"key": "k"})
    assert (result.model, result.version, result.input) == ("sentiment-en", "1", {"key": "k"})
    assert result.output[0][0].label == "positive"
    assert timing.fields["items"] == 1


def test_a_version_has_one_result_and_the_plain_key_a_copy() -> None:
    output = MemoryStore()
    assert write(output, created("01", "v/1")) == "answered"
    assert output.written == [f"{KEY}.json@v%2F1", f"{KEY}.json"]
    assert output.objects[f"{KEY}.json@v%2F1"] == output.objects[f"{KEY}.json"]
    assert write_result_once(output, created("01", "v/1"), never) == "answered before"
    assert len(output.written) == 2


def test_a_crash_between_the_two_writes_is_completed_by_the_next_delivery() -> None:
    output = MemoryStore()
    write(output, created("01", "v1"), "first")
    del output.objects[f"{KEY}.json"]
    assert write_result_once(output, created("01", "v1"), never) == "answered before"
    assert read(output) == "first"


@pytest.mark.parametrize("versioned", [True, False])
def test_the_plain_key_has_the_newest_result(versioned: bool) -> None:
    """A longer sequencer is not a greater one: they are compared as if padded with zeros on the right."""
    versions = ("v1", "v2") if versioned else ("", "")
    older, newer = created("0aff", versions[0]), created("0B", versions[1])
    output = MemoryStore()
    assert write(output, older, "older") == "answered"
    assert write(output, newer, "newer") == "answered"
    assert read(output) == "newer"
    late = MemoryStore()
    write(late, newer, "newer")
    if versioned:
        assert write(late, older, "older") == "answered"
        assert read(late, f"{KEY}.json@v1") == "older"
    else:
        assert write_result_once(late, older, never) == "superseded"
    assert read(late) == "newer"


def test_an_unversioned_object_is_answered_once() -> None:
    output = MemoryStore()
    assert write(output, created("0A")) == "answered"
    assert output.written == [f"{KEY}.json"]
    assert write_result_once(output, created("0A"), never) == "answered before"
    assert write_result_once(output, created("0a00"), never) == "answered before"  # the same sequencer


def test_objects_without_an_order_are_told_apart_by_tag_and_version() -> None:
    output = MemoryStore()
    write(output, created("", etag="one"), "one")
    assert write_result_once(output, created("", etag="one"), never) == "answered before"
    assert write(output, created("", etag="two"), "two") == "answered"
    assert read(output) == "two"
    assert write(output, created("", "v1", etag="two"), "three") == "answered"
    assert read(output) == "three"


def test_an_overwritten_object_has_no_result() -> None:
    output = MemoryStore()
    assert write_result_once(output, created(), superseded) == "superseded"
    assert write_result_once(output, created(version="v"), superseded) == "superseded"
    assert output.written == []


@pytest.mark.parametrize("version", ["", "v" * 32])
def test_a_key_too_long_for_its_result_is_refused_before_any_work(version: str) -> None:
    """The guard's limit is that of S3, in bytes of UTF-8, with the prefix of the output."""
    suffix = f".json@{version}" if version else ".json"
    space = results.MAX_KEY_BYTES - len(f"prefix/ü{suffix}".encode())
    output = MemoryStore("s3://bucket/prefix")
    assert write(output, created(version=version, key="ü" + "k" * space)) == "answered"
    with pytest.raises(BadRequest, match="key of its result would have more than 1024 bytes"):
        write_result_once(output, created(version=version, key="ü" + "k" * (space + 1)), never)
    local = MemoryStore("file:///prefix")
    assert write(local, created(version=version, key="ü" + "k" * 2000)) == "answered"


def test_a_concurrent_worker_may_be_first() -> None:
    output = MemoryStore()

    def other_first() -> Result:
        write(output, created("01", "v1"), "theirs")
        return result_of(created("01", "v1"), "ours")

    assert write_result_once(output, created("01", "v1"), other_first) == "answered meanwhile"
    assert read(output) == read(output, f"{KEY}.json@v1") == "theirs"


def test_a_result_deleted_meanwhile_is_a_conflict_that_is_delivered_again() -> None:
    class Deleting(MemoryStore):
        def put(self, path: str, data: Any, **conditions: Any) -> str:
            raise Conflict(f"{path} is in the store already")

    with pytest.raises(Conflict):
        write(Deleting(), created("01", "v1"))


@pytest.mark.parametrize(("theirs", "expected"), [("02", "theirs"), ("00", "ours")])
def test_the_copy_is_written_on_the_condition_that_it_is_unchanged(theirs: str, expected: str) -> None:
    """Another worker writes the newest result between our reading and our writing it."""

    class Racing(MemoryStore):
        def put(self, path: str, data: Any, **conditions: Any) -> str:
            if path == f"{KEY}.json" and path not in self.objects:
                self.objects[path] = msgspec.json.encode(result_of(created(theirs, "other"), "theirs"))
            return super().put(path, data, **conditions)

    output = Racing()
    assert write(output, created("01", "v1"), "ours") == "answered"
    assert read(output) == expected
    assert read(output, f"{KEY}.json@v1") == "ours"


def test_a_copy_that_many_write_at_once_is_a_conflict_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    class Contended(MemoryStore):
        def put(self, path: str, data: Any, **conditions: Any) -> str:
            if path == f"{KEY}.json":
                attempts.append(conditions)
                raise Conflict(path)
            return super().put(path, data, **conditions)

    with pytest.raises(Conflict, match="written by many processes at once"):
        write(Contended(), created("01", "v1"))
    assert attempts == [{"if_absent": True, "if_match": None}] * results.ATTEMPTS


def test_a_missing_result_is_no_latest_one() -> None:
    with pytest.raises(NotFound):
        MemoryStore().get("x")
    assert results._read_latest(MemoryStore(), "x") is None


@pytest.mark.parametrize(
    ("first", "second", "older"),
    [
        ({"sequencer": "01"}, {"sequencer": "02"}, True),
        ({"sequencer": "02"}, {"sequencer": "01"}, False),
        ({"sequencer": "0a"}, {"sequencer": "0A"}, False),
        ({"sequencer": "1"}, {"sequencer": "10"}, False),
        ({"sequencer": "1"}, {"sequencer": "11"}, True),
        ({"sequencer": "01", "etag": "a"}, {"sequencer": "01", "etag": "b"}, True),
        ({"sequencer": "01", "version": "a"}, {"sequencer": "01"}, True),
        ({}, {}, False),
        ({"etag": "a", "key": "x"}, {"etag": "a", "key": "y"}, False),
    ],
)
def test_sequencers_order_objects(first: dict[str, str], second: dict[str, str], older: bool) -> None:
    assert results._is_older(first, second) is older
