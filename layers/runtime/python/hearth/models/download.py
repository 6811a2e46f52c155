"""Transfers files between a store and the disk: parallel ranged reads, verified against the manifest as they arrive."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from pathlib import Path

from hearth.aws.retry import TransientError, retry
from hearth.deadline import expires_within
from hearth.errors import IntegrityError, NotFound, StoreError
from hearth.models.manifest import CHUNK, File
from hearth.storage.base import Store

CONNECTIONS = 4
"""Number of concurrent ranged reads: S3's throughput is per connection, and two saturate a loopback."""
BLOCK = 1024 * 1024
"""Bytes received, hashed and written at a time; with smaller blocks the threads mostly wait for the interpreter
lock."""


def fetch(store: Store, prefix: str, files: Sequence[File], folder: Path, deadline: float) -> None:
    """Download `files` from below `prefix` into `folder`, and verify their SHA-256 as they arrive.

    The folder must be empty. Raises NotFound, StoreError, IntegrityError, or OSError if the disk is full; then the
    contents of the folder are incomplete.
    """
    pieces = [(file, start) for file in files for start in range(0, max(file.size, 1), CHUNK)]
    for file in files:
        _reserve(folder / file.path, file.size)
    remaining = iter(pieces)
    lock = threading.Lock()
    failures: list[BaseException] = []

    def worker() -> None:
        buffer = memoryview(bytearray(min(BLOCK, max(file.size for file in files))))
        while not failures:
            with lock:
                piece = next(remaining, None)
            if piece is None:
                return
            file, start = piece
            try:
                retry(lambda: _fetch_piece(store, prefix, file, start, folder, buffer, deadline), deadline)  # noqa: B023
            except BaseException as error:
                failures.append(error)

    threads = [
        threading.Thread(target=copy_context().run, args=(worker,), daemon=True)  # the context has the deadline
        for _ in range(min(CONNECTIONS, len(pieces)) - 1)
    ]
    for thread in threads:
        thread.start()
    worker()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _fetch_piece(
    store: Store, prefix: str, file: File, start: int, folder: Path, buffer: memoryview, deadline: float
) -> None:
    length = min(CHUNK, file.size - start)
    expected = file.chunks[start // CHUNK] if file.chunks else file.sha256
    digest = hashlib.sha256()
    if length:
        descriptor = os.open(folder / file.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            with store.open(f"{prefix}/{file.path}", start, length, file.size) as source:
                received = 0
                while received < length:
                    count = source.readinto(
                        buffer[: length - received]
                    )  # what has arrived, so that a slow transfer is noticed
                    if not count:
                        raise TransientError(f"{file.path} ended after {start + received} of {file.size} bytes")
                    if expires_within(0) or time.monotonic() > deadline:
                        raise StoreError(
                            f"{file.path} arrived too slowly: {start + received} of {file.size} bytes in time"
                        )
                    block = buffer[:count]
                    digest.update(block)
                    os.pwrite(descriptor, block, start + received)
                    received += count
        except NotFound:
            raise StoreError(f"{file.path} is listed in the manifest but is not in the store") from None
        finally:
            os.close(descriptor)
    if digest.hexdigest() != expected:
        raise IntegrityError(f"{file.path} does not match the manifest (SHA-256 differs)")


def _reserve(path: Path, size: int) -> None:
    """Create the file and allocate all its blocks, so that a full disk is noticed before the download."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        if size:
            os.posix_fallocate(descriptor, 0, size)
    finally:
        os.close(descriptor)


def verify(file: File, path: Path) -> bool:
    """Whether the file on disk matches the manifest and is neither a link nor linked elsewhere."""
    try:
        # O_NONBLOCK: opening a pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size != file.size:
                return False
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def describe(path: Path) -> File:
    """The manifest entry of a file on disk."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        chunks = []
        while block := stream.read(CHUNK):
            digest.update(block)
            chunks.append(hashlib.sha256(block).hexdigest())
        size = stream.tell()
    return File(path.name, size, digest.hexdigest(), tuple(chunks) if size > CHUNK else ())


def upload(store: Store, path: str, source: Path, *, if_absent: bool = False) -> str:
    """Upload a local file to the store without reading it into memory."""
    with source.open("rb") as stream:
        if os.fstat(stream.fileno()).st_size == 0:
            return store.put(path, b"", if_absent=if_absent)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return store.put(path, mapped, if_absent=if_absent)
