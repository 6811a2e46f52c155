"""The interface of stores: objects in `s3://bucket/prefix` or `file:///path`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from hearth.aws.http1 import Body
from hearth.errors import IntegrityError, StoreError


class Conflict(StoreError):
    """A conditional write failed: the object exists already, or has changed since it was read."""

    status = 409
    code = "conflict"


class AccessDenied(StoreError):
    """The object may not be read, or does not exist and the caller may not list objects."""


class Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Store(Protocol):
    """Objects by path below one root.

    `deadline` is a time of `time.monotonic()`; None: only the number of attempts is limited.
    """

    uri: str

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        """The object, in this `version` if the store is versioned, and its entity tag.

        Raises NotFound; StoreError, also if the object has more than `limit` bytes.
        """

    def open(self, path: str, start: int, length: int, size: int) -> AbstractContextManager[Readable]:
        """Open `length` bytes from `start` of an object that has `size` bytes, without retries.

        Raises OSError, NotFound, StoreError; IntegrityError if the object has another size.
        """

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        """Write the whole object and return its entity tag. Raises Conflict, StoreError."""

    def list(self, prefix: str = "") -> list[str]:
        """All paths below the root that begin with `prefix`, sorted."""
        return sorted(self.iter_paths(prefix))

    def iter_paths(self, prefix: str = "") -> Iterator[str]:
        """As `list`, but page by page in the store's order, so that memory stays bounded. Raises StoreError."""

    def delete(self, path: str) -> None:
        """Delete the object in all its versions, if it exists. Raises StoreError."""

    def check(self) -> None:
        """Raise StoreError if there is no such store. Requests to S3 find out by themselves."""
        return

    def get(self, path: str, *, deadline: float | None = None, limit: int | None = None) -> bytes:
        return self.get_with_etag(path, deadline=deadline, limit=limit)[0]


def check_size(path: str, size: int, expected: int) -> None:
    if size != expected:
        raise IntegrityError(f"{path} has {size} bytes, not the {expected} that the manifest says")


def too_long_message(path: str, limit: int) -> str:
    return f"{path} has more than the {limit} bytes that are allowed"
