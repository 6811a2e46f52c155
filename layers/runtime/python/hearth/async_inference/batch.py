"""Batches: processes the items of a bucket listing that a Step Functions Distributed Map sends.

Event: {"batch": {"bucket", "model", "run"}, "Items": [{"Key", "Etag", "Size"}, …]}. The result of each object is
written to `<HEARTH_OUTPUT>/<run>/<key>.json` if there is none, so a batch can be repeated. Errors of an object are
listed in `failed`; one is that it took the time of an invocation. Errors of a store are raised, and that there was no
time for all objects; the map retries the batch, which then skips objects that have a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hearth import deadline, settings, strict_json
from hearth.async_inference import uploads
from hearth.async_inference.results import predict_object
from hearth.auth import api_keys
from hearth.errors import DeadlineExceeded, HearthError, Internal, NotFound, SettingsError
from hearth.storage.base import Conflict, Store
from hearth.storage.open import open_store
from hearth.tasks.task import Tasks
from hearth.telemetry import log
from hearth.telemetry.timing import step

WHOLE = 0.9
"""Part of the time of an invocation that an object may take while others wait behind it. One that took as much would
fail again."""
ANSWERED = "answered"


class Batch(msgspec.Struct, frozen=True):
    bucket: str
    model: str
    run: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    """Prefix of the results of one run."""


class Item(msgspec.Struct, frozen=True, rename="pascal"):
    """An item of S3's listing."""

    key: str
    size: int = 0
    etag: str = ""


class BatchEvent(msgspec.Struct, frozen=True):
    batch: Batch
    items: list[Item] = msgspec.field(name="Items")


class FailedItem(msgspec.Struct, frozen=True):
    key: str
    error_type: str
    error: str


class BatchResult(msgspec.Struct, frozen=True):
    done: int
    """Number of objects that have a result, including results of an earlier attempt."""
    failed: list[FailedItem]


class BatchFailedError(Exception):
    """The batch must be retried."""


class BatchJob(msgspec.Struct, frozen=True):
    """Processes objects of one store with a model, and writes the results to another store."""

    tasks: Tasks
    model: str
    source: Store
    output: Store
    run: str
    """Prefix of the results' paths."""

    def result_path(self, key: str) -> str:
        return f"{self.run}/{key}.json" if self.run else f"{key}.json"

    def process(self, item: Item, request_id: str = "") -> FailedItem | None:
        """Write the result of one object, or return its error. Raises as `attempt`."""
        outcome = self.attempt(item, request_id)
        return outcome if isinstance(outcome, FailedItem) else None

    def attempt(self, item: Item, request_id: str = "") -> FailedItem | str:
        """Write the result of one object and return the outcome, or its error. Raises HearthError for errors that are
        not the object's."""
        outcomes: list[str] = []

        def write() -> str:
            outcomes.append(self._write_result(item))
            return outcomes[0]

        failure = log.attempt(write, request_id=request_id, trigger="batch")
        if failure and failure.status >= 500 and not isinstance(failure, Internal):
            raise failure
        return FailedItem(item.key, failure.code, failure.message) if failure else outcomes[0]

    def _write_result(self, item: Item) -> str:
        if item.key.endswith("/"):
            return "not an input"  # consoles create such objects as folders
        uploads.check_size(item.size)
        path = self.result_path(item.key)
        try:
            self.output.get(path)
        except NotFound:
            pass
        else:
            return "answered before"
        with step("input"):
            data, etag = self.source.get_with_etag(item.key, limit=uploads.MAX_BYTES)
        result = predict_object(self.tasks, self.model, "", data, {"key": item.key, "etag": etag})
        with step("output"):
            try:
                self.output.put(path, msgspec.json.encode(result), if_absent=True)
            except Conflict:
                return "answered meanwhile"
        return ANSWERED


def handle(tasks: Tasks, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Process the items of a batch. Raises BadRequest for an invalid event, BatchFailedError."""
    document = strict_json.convert(event, BatchEvent)
    api_keys.set_session(document.batch.run)  # one version answers for all objects, unless a share changes meanwhile
    output = settings.get().output
    if not output:
        raise BatchFailedError(SettingsError("HEARTH_OUTPUT is not set; set it to the location of the results").message)
    source = open_store(f"s3://{document.batch.bucket}")
    job = BatchJob(tasks, document.batch.model, source, open_store(output), document.batch.run)
    time, request_id = deadline.remaining() or 0.0, getattr(context, "aws_request_id", "")
    outcomes, failed, late = list[str](), list[FailedItem](), list[FailedItem]()
    for others, item in zip(reversed(range(len(document.items))), document.items, strict=True):
        given = (deadline.remaining() or 0.0) * (WHOLE if others else 1)
        try:
            with deadline.within(given) if time else nullcontext():
                outcome = job.attempt(item, request_id)
        except DeadlineExceeded as error:
            has_failed = given >= WHOLE * WHOLE * time
            (failed if has_failed else late).append(FailedItem(item.key, error.code, error.message))
            continue
        except HearthError as error:
            raise BatchFailedError(f"{error.code}: {error.message}") from error
        if isinstance(outcome, FailedItem):
            failed.append(outcome)
        else:
            outcomes.append(outcome)
    if late and ANSWERED in outcomes:  # the next invocation has more time for the others
        raise BatchFailedError(f"{late[0].error_type}: there was no time for {len(late)} of the objects")
    done, failed = len(outcomes), failed + late
    result: dict[str, Any] = msgspec.to_builtins(BatchResult(done, failed))
    return result
