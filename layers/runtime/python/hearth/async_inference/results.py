"""Results of uploads: exactly one per version of an object, even if events are repeated, late, reordered or concurrent.

In a versioned bucket, `<key>.json@<version id>` is the result of that version. It is written only if it does not exist,
so a second attempt finds it. `<key>.json` is a copy of the newest version's result, in the order of S3's sequencers. If
the process crashes between the two writes, the next delivery of the message completes them.

In an unversioned bucket an overwritten object cannot be read any more, and has no result unless it was read in time.
`<key>.json` is the result of the newest object that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hearth.aws.retry import ATTEMPTS
from hearth.errors import BadRequest, NotFound
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from hearth.storage.base import Conflict, Store
from hearth.tasks.payload import read_object
from hearth.tasks.task import Tasks, open_model
from hearth.telemetry.timing import current

MAX_KEY_BYTES = 1024
"""Largest length of an S3 key."""


class CreatedObject(msgspec.Struct, frozen=True):
    """A created object, as described by its event."""

    bucket: str
    key: str
    etag: str
    size: int
    sequencer: str
    """Hexadecimal; orders the events of one key."""
    version: str = ""
    """Version id; empty in an unversioned bucket."""

    @property
    def description(self) -> dict[str, str]:
        description = {"bucket": self.bucket, "key": self.key, "etag": self.etag, "sequencer": self.sequencer}
        return description | ({"version": self.version} if self.version else {})


class Result(msgspec.Struct, frozen=True):
    model: str
    version: str
    input: dict[str, str]
    """Description of the input object."""
    output: Any = None


class Superseded(Exception):
    """The object was overwritten before it was read, in an unversioned bucket."""


def predict_object(tasks: Tasks, name: str, task_id: str, body: bytes, description: dict[str, str]) -> Result:
    """Run the model `name` on an object, for the task `task_id` or the model's own. Raises HearthError."""
    resolved = warm_cache().resolve(name)
    task, lease = open_model(tasks, resolved, task_id)
    with lease as model:
        if resolved.shadow:
            from hearth.tasks import shadow  # few aliases have one

            task = shadow.observe(task, resolved, Ref(resolved.ref.model, model.manifest.version))
        prediction = task.predict(model, read_object(task, body))
        current().record_usage(prediction.usage)
        return Result(model.manifest.model, model.manifest.version, description, prediction.output)


def result_path(created: CreatedObject) -> str:
    """The path of an object's result, below that of all results."""
    newest = f"{created.key}.json"
    return f"{newest}@{quote(created.version, safe='')}" if created.version else newest


def write_result_once(output: Store, created: CreatedObject, compute: Callable[[], Result]) -> str:
    """Write the result of `created`, and return the outcome. `compute` is called only if there is no result yet.

    `compute` may raise Superseded. Raises BadRequest, StoreError, and what `compute` raises.
    """
    newest, path = f"{created.key}.json", result_path(created)
    folder = output.uri.removeprefix("s3://").partition("/")[2]
    if output.uri.startswith("s3:") and len(f"{folder}/{path}".encode()) > MAX_KEY_BYTES:
        raise BadRequest(
            f"The object's key is too long: the key of its result would have more than {MAX_KEY_BYTES} bytes"
        )
    try:
        if created.version:
            data, outcome = _put_if_absent(output, path, compute)
            latest = _read_latest(output, newest)
        elif (latest := _read_latest(output, newest)) and not _is_older(latest[0], created.description):
            return "superseded" if _is_older(created.description, latest[0]) else "answered before"
        else:
            data, outcome = msgspec.json.encode(compute()), "answered"
    except Superseded:
        return "superseded"
    _update_latest(output, newest, created, data, latest)
    return outcome


def _put_if_absent(output: Store, path: str, compute: Callable[[], Result]) -> tuple[bytes, str]:
    try:
        return output.get(path), "answered before"
    except NotFound:
        data = msgspec.json.encode(compute())
    try:
        output.put(path, data, if_absent=True)
    except Conflict as conflict:  # another process was first, or the acknowledgement of our write was lost
        try:
            return output.get(path), "answered meanwhile"
        except NotFound:  # deleted meanwhile: the next delivery writes it again
            raise conflict from None
    return data, "answered"


LatestResult = tuple[dict[str, str], str]
"""The description of a result's input, and the result's entity tag."""


def _update_latest(output: Store, path: str, created: CreatedObject, data: bytes, latest: LatestResult | None) -> None:
    """Write `data`, unless the result there is of this object or of a newer one. `latest` is the result last seen
    there; the write is conditional on it."""
    for _ in range(ATTEMPTS):
        if latest and not _is_older(latest[0], created.description):
            return
        try:
            output.put(path, data, if_absent=latest is None, if_match=latest[1] if latest else None)
            return
        except Conflict:
            latest = _read_latest(output, path)
    raise Conflict(f"{path} is being written by many processes at once")


def _read_latest(output: Store, path: str) -> LatestResult | None:
    try:
        raw, etag = output.get_with_etag(path)
    except NotFound:
        return None
    return msgspec.json.decode(raw, type=Result).input, etag


def _is_older(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether the object `first` is older than the object `second`; if their order is unknown, whether they are
    different objects."""
    sequencers = [description.get("sequencer", "").upper() for description in (first, second)]
    width = max(map(len, sequencers))
    before, after = (sequencer.ljust(width, "0") for sequencer in sequencers)
    if before == after:
        return any(first.get(name, "") != second.get(name, "") for name in ("etag", "version"))
    return before < after
