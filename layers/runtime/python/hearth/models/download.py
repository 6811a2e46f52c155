"""Transfers files between a store and the disk: parallel ranged reads, verified against the manifest as they arrive."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from hearth.aws.retry import TransientError, retry
from hearth.deadline import expires_within
from hearth.errors import IntegrityError, Loading, NotFound, StoreError
from hearth.models.manifest import CHUNK, File
from hearth.storage.base import Store

CONNECTIONS = 4
"""Number of concurrent ranged reads: S3's throughput is per connection, and two saturate a loopback."""
JOURNAL = ".pieces"
"""File in a folder that is being filled: the pieces of long files that were verified, a line for each."""
MAX_RETRY_AFTER = 60
"""Seconds."""
BLOCK = 1024 * 1024
"""Bytes received, hashed and written at a time; with smaller blocks the threads mostly wait for the interpreter
lock."""


class TooSlowError(StoreError):
    """The deadline passed before all bytes had arrived."""


def fetch(store: Store, prefix: str, files: Sequence[File], folder: Path, deadline: float) -> None:
    """Download `files` from below `prefix` into `folder`, and verify their SHA-256 as they arrive.

    A folder in which an earlier download ended is completed: of long files, the pieces that it verified are hashed
    again instead of being downloaded. Raises NotFound, StoreError, IntegrityError, OSError if the disk is full, or
    Loading if the deadline passes; then the folder is incomplete.
    """
    started = time.monotonic()
    for file in files:
        _reserve(folder / file.path, file.size)
    present = _verified_pieces(folder, files)
    pieces = [(file, start) for file in files for start in range(0, max(file.size, 1), CHUNK)]
    remaining = iter(piece for piece in pieces if (piece[0].path, piece[1]) not in present)
    lock = threading.Lock()
    failures: list[BaseException] = []
    arrived = 0

    def worker() -> None:
        nonlocal arrived
        buffer = memoryview(bytearray(min(BLOCK, max(file.size for file in files))))
        while not failures:
            with lock:
                piece = next(remaining, None)
            if piece is None:
                return
            file, start = piece
            try:
                retry(lambda: _fetch_piece(store, prefix, file, start, folder, buffer, deadline), deadline)  # noqa: B023
                with lock:
                    arrived += min(CHUNK, file.size - start)
                    if file.chunks:
                        _record(folder, file.path, start)
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
    if failures and all(isinstance(failure, TooSlowError) for failure in failures):
        here = arrived + sum(min(CHUNK, file.size - start) for file, start in pieces if (file.path, start) in present)
        raise _loading(prefix, here, arrived, sum(file.size for file in files), time.monotonic() - started)
    if failures:
        raise failures[0]
    (folder / JOURNAL).unlink(missing_ok=True)


def _loading(prefix: str, here: int, arrived: int, total: int, seconds: float) -> Loading:
    """The error of a download that goes on at the next attempt; `arrived` bytes took `seconds`."""
    rest = (total - here) * seconds / arrived if arrived else MAX_RETRY_AFTER
    return Loading(
        f"{prefix.replace('/', '@')} is being loaded: {here / 1e6:.0f} of {total / 1e6:.0f} MB are here; retry later",
        retry_after=max(1, min(round(rest), MAX_RETRY_AFTER)),
    )


def _record(folder: Path, path: str, start: int) -> None:
    with (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write(f"{path} {start}\n")


def _verified_pieces(folder: Path, files: Sequence[File]) -> set[tuple[str, int]]:
    """The pieces (path, start) that an earlier download recorded, and that are still as they must be."""
    try:
        lines = (folder / JOURNAL).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    by_path = {file.path: file for file in files}
    pieces = set()
    for line in lines:
        path, _, start = line.rpartition(" ")
        file = by_path.get(path)
        if file is None or not start.isdecimal() or int(start) // CHUNK >= len(file.chunks):
            continue
        descriptor = os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as stream:
            stream.seek(int(start))
            if hashlib.sha256(stream.read(CHUNK)).hexdigest() == file.chunks[int(start) // CHUNK]:
                pieces.add((path, int(start)))
    return pieces


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
                        raise TooSlowError(
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
    """Create the file and allocate all its blocks, so that a full disk is noticed before the download. That of an
    earlier download stays."""
    with suppress(FileNotFoundError):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_size == size:
            return
        path.unlink()
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
