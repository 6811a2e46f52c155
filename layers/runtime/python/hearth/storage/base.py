"""Objects in `s3://bucket/prefix` and `file:///path`, behind one small interface."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from hearth.aws.http1 import Body
from hearth.errors import IntegrityError, StoreError


class Conflict(StoreError):
    """A conditional write lost: the object is there already, or is no longer what was read."""

    status = 409
    code = "conflict"


class Refused(StoreError):
    """The object may not be read; or it is not there, and whoever asks may not list what is."""


class Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Store(Protocol):
    """Objects by path below one root.

    `deadline` is a time of `time.monotonic()`; None: the number of attempts is the only bound.
    """

    uri: str

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        """The object, in this `version` where the store keeps several, and its entity tag.

        Raises NotFound; StoreError, also where the object has more than `limit` bytes.
        """

    def open(self, path: str, start: int, length: int, size: int) -> AbstractContextManager[Readable]:
        """`length` bytes from `start` of an object that has `size`, once, without retries.

        Raises OSError, NotFound, StoreError; IntegrityError where it has another size.
        """

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write the object whole and return its entity tag. Raises Conflict, StoreError."""

    def list(self, prefix: str = "") -> list[str]:
        """All paths below the root that begin with `prefix`, sorted."""
        return sorted(self.each(prefix))

    def each(self, prefix: str = "") -> Iterator[str]:
        """As `list`, page by page and in the store's own order: a million paths need no memory. Raises StoreError."""

    def delete(self, path: str) -> None:
        """Remove the object in all its versions, if it is there. Raises StoreError."""

    def get(self, path: str, *, deadline: float | None = None, limit: int | None = None) -> bytes:
        return self.get_with_etag(path, deadline=deadline, limit=limit)[0]


def check_size(path: str, size: int, expected: int) -> None:
    if size != expected:
        raise IntegrityError(f"{path} has {size} bytes, not the {expected} that the manifest says")


def too_long_message(path: str, limit: int) -> str:
    return f"{path} has more than {limit} bytes, which it may not"
