"""Results of uploads: exactly one a version of an object, whatever comes twice, late, out of order or at once.

In a bucket with versions, `<key>.json@<version id>` is the result of that version: it is written where there is none
and never again, so that whoever comes second finds it. `<key>.json` is a copy of the newest version's, by the order
that S3 gives an object's events. A crash between the two writes is mended by the message's next delivery.

In a bucket without versions an object that was overwritten cannot be read any more, and has no result unless it was
read in time: `<key>.json` is that of the newest object that was read, once for each that is newer than the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from hearth.aws.retry import ATTEMPTS
from hearth.errors import BadRequest, NotFound
from hearth.models.cache import warm_cache
from hearth.storage.base import Conflict, Store
from hearth.tasks.payload import read_object
from hearth.tasks.task import Task, open_model
from hearth.telemetry.timing import current

MAX_KEY_BYTES = 1024
"""Of a key of S3."""


class CreatedObject(msgspec.Struct, frozen=True):
    """An object that was put, as its event describes it."""

    bucket: str
    key: str
    etag: str
    size: int
    sequencer: str
    """Hexadecimal; orders the events of one key."""
    version: str = ""
    """Empty where the bucket has no versions."""

    @property
    def description(self) -> dict[str, str]:
        described = {"bucket": self.bucket, "key": self.key, "etag": self.etag, "sequencer": self.sequencer}
        return described | ({"version": self.version} if self.version else {})


class Result(msgspec.Struct, frozen=True):
    model: str
    version: str
    input: dict[str, str]
    """A description of the object."""
    output: Any = None


class Superseded(Exception):
    """The object was written again before it was read, in a bucket without versions."""


def answer_object(tasks: Sequence[Task], name: str, task_id: str, body: bytes, description: dict[str, str]) -> Result:
    """What the model `name` makes of an object, for the task `task_id` or its own. Raises HearthError."""
    task, lease = open_model(tasks, warm_cache().resolve(name), task_id)
    with lease as model:
        prediction = task.predict(model, read_object(task, body))
        current().record_usage(prediction.usage)
        return Result(model.manifest.model, model.manifest.version, description, prediction.output)


def write_result_once(output: Store, created: CreatedObject, make: Callable[[], Result]) -> str:
    """Write the result of `created`, which `make` gives if nobody has before; return how that went.

    `make` may raise Superseded. Raises BadRequest, StoreError, and what `make` raises.
    """
    newest = f"{created.key}.json"
    path = f"{newest}@{quote(created.version, safe='')}" if created.version else newest
    if output.uri.startswith("s3:") and len(f"{urlsplit(output.uri).path[1:]}/{path}".encode()) > MAX_KEY_BYTES:
        raise BadRequest(f"The object's key is so long that its result's has more than {MAX_KEY_BYTES} bytes")
    try:
        if created.version:
            data, outcome = _put_if_absent(output, path, make)
            latest = _read_latest(output, newest)
        elif (latest := _read_latest(output, newest)) and not _is_older(latest[0], created.description):
            return "superseded" if _is_older(created.description, latest[0]) else "answered before"
        else:
            data, outcome = msgspec.json.encode(make()), "answered"
    except Superseded:
        return "superseded"
    _update_latest(output, newest, created, data, latest)
    return outcome


def _put_if_absent(output: Store, path: str, make: Callable[[], Result]) -> tuple[bytes, str]:
    try:
        return output.get(path), "answered before"
    except NotFound:
        data = msgspec.json.encode(make())
    try:
        output.put(path, data, if_absent=True)
    except Conflict as conflict:  # another's was first; or ours, whose acknowledgement was lost
        try:
            return output.get(path), "answered meanwhile"
        except NotFound:  # removed since: the next delivery sees to it
            raise conflict from None
    return data, "answered"


LatestResult = tuple[dict[str, str], str]
"""The description of the input that a result is of, and the result's entity tag."""


def _update_latest(output: Store, path: str, created: CreatedObject, data: bytes, latest: LatestResult | None) -> None:
    """Write `data` unless a newer object's result is there, or this one's own; `latest` is what was last seen there,
    which the store itself compares when it writes."""
    for _ in range(ATTEMPTS):
        if latest and not _is_older(latest[0], created.description):
            return
        try:
            output.put(path, data, if_absent=latest is None, if_match=latest[1] if latest else None)
            return
        except Conflict:
            latest = _read_latest(output, path)
    raise Conflict(f"{path} is being written by many at once")


def _read_latest(output: Store, path: str) -> LatestResult | None:
    try:
        raw, tag = output.get_with_etag(path)
    except NotFound:
        return None
    return msgspec.json.decode(raw, type=Result).input, tag


def _is_older(first: Mapping[str, str], second: Mapping[str, str]) -> bool:
    """Whether `first` describes an object that came before that of `second`; where their order is not known, whether it
    describes another object."""
    sequencers = [description.get("sequencer", "").upper() for description in (first, second)]
    width = max(map(len, sequencers))
    before, after = (sequencer.ljust(width, "0") for sequencer in sequencers)
    if before == after:
        return any(first.get(name, "") != second.get(name, "") for name in ("etag", "version"))
    return before < after
