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
from hearth.models.cache import manifest_of
from hearth.storage.base import Conflict, Store
from hearth.tasks.payload import read_object
from hearth.tasks.task import Task, choose

LONGEST_KEY = 1024
"""Bytes of a key of S3."""


class Created(msgspec.Struct, frozen=True):
    """An object that was put, as its event tells it."""

    bucket: str
    key: str
    etag: str
    size: int
    sequencer: str
    """Hexadecimal; orders the events of one key."""
    version: str = ""
    """Empty where the bucket has no versions."""

    @property
    def about(self) -> dict[str, str]:
        named = {"bucket": self.bucket, "key": self.key, "etag": self.etag, "sequencer": self.sequencer}
        return named | ({"version": self.version} if self.version else {})


class Result(msgspec.Struct, frozen=True):
    model: str
    version: str
    input: dict[str, str]
    output: Any = None


def answered(tasks: Sequence[Task], name: str, asked: str, body: bytes, about: dict[str, str]) -> Result:
    """What the model `name` makes of an object, for the task that is `asked` or its own. Raises HearthError."""
    manifest = manifest_of(name)
    task = choose(tasks, name, manifest.task, asked)
    output = task.predict(name, read_object(task, body))
    return Result(manifest.model, manifest.version, about, output)


class Superseded(Exception):
    """The object was written again before it was read, in a bucket without versions."""


def settle(output: Store, created: Created, make: Callable[[], Result]) -> str:
    """Bring about the result of `created`, which `make` gives if nobody has before; says how that went.

    `make` may raise Superseded. Raises BadRequest, StoreError, and what `make` raises.
    """
    newest = f"{created.key}.json"
    kept = f"{newest}@{quote(created.version, safe='')}" if created.version else newest
    if output.uri.startswith("s3:") and len(f"{urlsplit(output.uri).path[1:]}/{kept}".encode()) > LONGEST_KEY:
        raise BadRequest(f"The object's key is so long that its result's has more than {LONGEST_KEY} bytes")
    try:
        if created.version:
            data, outcome = _once(output, kept, make)
            former = _read(output, newest)
        elif (former := _read(output, newest)) and not _older(former[0], created.about):
            return "superseded" if _older(created.about, former[0]) else "answered before"
        else:
            data, outcome = msgspec.json.encode(make()), "answered"
    except Superseded:
        return "superseded"
    _show(output, newest, created, data, former)
    return outcome


def _once(output: Store, name: str, make: Callable[[], Result]) -> tuple[bytes, str]:
    try:
        return output.get(name), "answered before"
    except NotFound:
        data = msgspec.json.encode(make())
    try:
        output.put(name, data, if_absent=True)
    except Conflict as conflict:  # another's was first; or ours, whose acknowledgement was lost
        try:
            return output.get(name), "answered meanwhile"
        except NotFound:  # removed since: the next delivery sees to it
            raise conflict from None
    return data, "answered"


def _show(output: Store, name: str, created: Created, data: bytes, former: Shown | None) -> None:
    """Write `data` unless a newer object's result is there, or this one's own; `former` is what was last seen there,
    which the store itself compares when it writes."""
    for _ in range(ATTEMPTS):
        if former and not _older(former[0], created.about):
            return
        try:
            output.put(name, data, if_absent=former is None, if_match=former[1] if former else None)
            return
        except Conflict:
            former = _read(output, name)
    raise Conflict(f"{name} is being written by many at once")


Shown = tuple[dict[str, str], str]
"""What a result says of its input, and the result's entity tag."""


def _read(output: Store, name: str) -> Shown | None:
    try:
        raw, tag = output.get_with_etag(name)
    except NotFound:
        return None
    return msgspec.json.decode(raw, type=Result).input, tag


def _older(former: Mapping[str, str], later: Mapping[str, str]) -> bool:
    """Whether `former` is of an object that came before that of `later`; of an unknown order, whether of another."""
    told = [about.get("sequencer", "").upper() for about in (former, later)]
    before, after = (sequencer.ljust(max(map(len, told)), "0") for sequencer in told)
    if before == after:
        return any(former.get(name, "") != later.get(name, "") for name in ("etag", "version"))
    return before < after
