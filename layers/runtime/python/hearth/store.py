"""Objects in `s3://bucket/prefix` and `file:///path`, behind one small interface."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from hearth.connection import Body, Response
from hearth.deadline import near
from hearth.errors import IntegrityError, NotFound, SettingsError, StoreError
from hearth.s3 import Bucket

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ATTEMPTS = 5
PASSING = (429, 500, 502, 503, 504)
"""Statuses of a service that may answer when it is asked again."""
T = TypeVar("T")


class Conflict(StoreError):
    """A conditional write lost: the object is there already, or is no longer what was read."""

    status = 409
    code = "conflict"


class Refused(StoreError):
    """The object may not be read; or it is not there, and whoever asks may not list what is."""


class Readable(Protocol):
    def readinto(self, buffer: memoryview, /) -> int | None: ...


class Store(Protocol):
    """Objects by path below one root. `deadline` is of `time.monotonic()`; None: the attempts alone bound it."""

    uri: str

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        """The object, of this `version` where the store keeps several, and its entity tag.

        Raises NotFound, StoreError; so too where it has more than `limit` bytes.
        """

    def open(self, path: str, start: int, length: int, size: int) -> AbstractContextManager[Readable]:
        """`length` bytes from `start` of an object that has `size`, once, without retries.

        Raises OSError, HTTPException, NotFound, StoreError; IntegrityError where it has another size.
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


class FileStore(Store):
    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")
        self.root = Path(unquote(urlsplit(uri).path))

    def _file(self, path: str) -> Path:
        file = self.root / path
        if ".." in file.parts:
            raise NotFound(f"{path} is not below the store's root")
        return file

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        try:
            with self._file(path).open("rb") as file:
                if limit is not None and os.fstat(file.fileno()).st_size > limit:
                    raise StoreError(_too_long(path, limit))
                data = file.read()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFound(f"{path} is not in the store") from None
        except OSError as error:
            raise StoreError(f"{path} could not be read: {error.strerror}") from error
        return data, hashlib.sha256(data).hexdigest()

    @contextmanager
    def open(self, path: str, start: int, length: int, size: int) -> Iterator[Readable]:
        try:
            with self._file(path).open("rb", buffering=0) as file:
                _check_size(path, os.fstat(file.fileno()).st_size, size)
                file.seek(start)
                yield file
        except FileNotFoundError:
            raise NotFound(f"{path} is not in the store") from None

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
        partial.write_bytes(data)
        try:
            with _locked(file.parent):
                if if_absent and file.exists():
                    raise Conflict(f"{path} is in the store already")
                if if_match is not None and (not file.exists() or self.get_with_etag(path)[1] != if_match):
                    raise Conflict(f"{path} was changed by someone else")
                partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        return hashlib.sha256(data).hexdigest()

    def each(self, prefix: str = "") -> Iterator[str]:
        folders = [self._file(prefix.rpartition("/")[0])]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    path = Path(entry.path).relative_to(self.root).as_posix()
                    if entry.name.startswith(".") or not (path.startswith(prefix) or prefix.startswith(f"{path}/")):
                        continue  # a dot begins what is being written
                    if entry.is_dir():
                        folders.append(Path(entry.path))
                    else:
                        yield path

    def delete(self, path: str) -> None:
        try:
            self._file(path).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise StoreError(f"{path} could not be removed: {error.strerror}") from error


class S3Store(Store):
    def __init__(self, uri: str) -> None:
        url = urlsplit(uri)
        self.uri = uri.rstrip("/")
        self.bucket = Bucket(url.netloc)
        self.prefix = url.path.strip("/")

    def _key(self, path: str) -> str:
        return f"{self.prefix}/{path}" if self.prefix else path

    def get_with_etag(
        self, path: str, *, deadline: float | None = None, limit: int | None = None, version: str = ""
    ) -> tuple[bytes, str]:
        def once() -> tuple[bytes, str]:
            response = self.bucket.request("GET", self._key(path), query={"versionId": version} if version else None)
            if limit is not None and (response.length is None or response.length > limit) and response.status == 200:
                self.bucket.drop()
                raise StoreError(_too_long(path, limit))
            data = response.read()  # raises Broken where the body was cut
            self._check(response, path, data, expected=200)
            return data, response.headers.get("etag", "")

        return retrying(once, deadline)

    @contextmanager
    def open(self, path: str, start: int, length: int, size: int) -> Iterator[Readable]:
        response = self.bucket.request("GET", self._key(path), headers={"range": f"bytes={start}-{start + length - 1}"})
        try:
            if response.status != 206:
                self._check(response, path, response.read(), expected=206)
            total = response.headers.get("content-range", "").rpartition("/")[2]
            _check_size(path, int(total) if total.isdecimal() else size, size)
            yield response
        finally:
            if not response.ended:  # something was left unread: the connection is of no use any more
                self.bucket.drop()

    def put(self, path: str, data: Body, *, if_absent: bool = False, if_match: str | None = None) -> str:
        headers = {"if-none-match": "*"} if if_absent else {}
        if if_match is not None:
            headers["if-match"] = if_match

        def once() -> str:
            response = self.bucket.request("PUT", self._key(path), headers=headers, body=data)
            self._check(response, path, response.read(), expected=200)
            return response.headers.get("etag", "")

        return retrying(once, None)

    def each(self, prefix: str = "") -> Iterator[str]:
        query = {"list-type": "2", "prefix": self._key(prefix)}
        while True:
            tree = self._listing(query)
            for key in tree.iter("Key"):
                path = key.text or ""
                yield path.removeprefix(f"{self.prefix}/") if self.prefix else path
            token = tree.findtext("NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token

    def delete(self, path: str) -> None:
        key = self._key(path)
        query = {"versions": "", "prefix": key}
        while True:
            tree = self._listing(query)
            kept = [element for kind in ("Version", "DeleteMarker") for element in tree.iter(kind)]
            for version in (element.findtext("VersionId") or "" for element in kept if element.findtext("Key") == key):
                self._delete(key, version)
            markers = {name: tree.findtext(f"Next{name}") for name in ("KeyMarker", "VersionIdMarker")}
            if markers["KeyMarker"] != key:  # what follows has other keys
                return
            query |= {"key-marker": key, "version-id-marker": markers["VersionIdMarker"] or ""}

    def _delete(self, key: str, version: str) -> None:
        def once() -> None:
            response = self.bucket.request("DELETE", key, query={"versionId": version})
            self._check(response, key, response.read(), expected=204)

        retrying(once, None)

    def _listing(self, query: Mapping[str, str]) -> Element:
        """A page of a listing, its elements' names without their namespace."""
        from xml.etree import ElementTree  # few requests list

        def once() -> bytes:
            response = self.bucket.request("GET", "", query=query)
            body = response.read()
            self._check(response, "the listing", body, expected=200)
            return body

        tree = ElementTree.fromstring(retrying(once, None))  # noqa: S314 -- our own store's answer
        for element in tree.iter():
            element.tag = element.tag.rpartition("}")[2]
        return tree

    def _check(self, response: Response, path: str, body: bytes, *, expected: int) -> None:
        status = response.status
        if status == expected:
            return
        if status == 404 and b"NoSuchBucket" not in body:
            raise NotFound(f"{path} is not in the store")
        if status in (409, 412):
            raise Conflict(f"{path} is in the store already, or was changed by someone else")
        code = body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("ascii", "replace")
        if status in PASSING or "Throttl" in code:
            raise TransientError(f"the store answered {status} for {path}")
        if status == 403 and code.startswith("KMS."):
            raise StoreError(f"the store refused {path} ({code}): check the role's permissions for the bucket's key")
        if status == 403:
            raise Refused(f"the store refused {path}: check the role's permissions, and that the object exists")
        raise StoreError(f"the store answered {status} {code} for {path}")


def _check_size(path: str, found: int, expected: int) -> None:
    if found != expected:
        raise IntegrityError(f"{path} has {found} bytes, not the {expected} that the manifest says")


def _too_long(path: str, limit: int) -> str:
    return f"{path} has more than {limit} bytes, which it may not"


class TransientError(StoreError):
    """Worth another attempt."""


def open_store(uri: str) -> Store:
    """The store at `uri`. Touches neither disk nor network."""
    if uri.startswith("s3://") and urlsplit(uri).netloc:
        return S3Store(uri)
    if uri.startswith("file:///"):
        return FileStore(uri)
    raise SettingsError(f"A store is s3://bucket/prefix or file:///path, not {uri!r}")


def retrying(once: Callable[[], T], deadline: float | None) -> T:
    """`once()`, again after passing faults: at most ATTEMPTS times, and not past the deadline or the request's end.

    boto3 retries neither a body that was cut half-way nor one whose checksum is wrong (security.md 2.6), so
    these are retried here. Raises StoreError or IntegrityError after the last attempt.
    """
    for attempt in itertools.count(1):
        try:
            return once()
        except (OSError, TransientError, IntegrityError) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL_FAULTS:
                raise
            pause = (1 + os.urandom(1)[0] / 255) * 0.025 * 2**attempt  # so that callers do not come back all at once
            late = near(pause) or (deadline is not None and time.monotonic() + pause > deadline)
            if attempt == ATTEMPTS or late:
                if isinstance(error, StoreError | IntegrityError):
                    raise
                reason = f"{type(error).__name__}: {error}"
                raise StoreError(f"the store did not answer after {attempt} attempts ({reason})") from error
            time.sleep(pause)
    raise AssertionError("unreachable")


# Faults of this machine's disk: asking the store again does not help.
_LOCAL_FAULTS = frozenset({13, 17, 27, 28, 30, 122})  # EACCES EEXIST EFBIG ENOSPC EROFS EDQUOT


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
