"""Files are fetched in pieces and verified as they arrive; a full disk, a slow or a damaged transfer is an error."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hearth import deadline
from hearth.aws import retry
from hearth.errors import HearthError, IntegrityError, Loading, StoreError
from hearth.models.download import BLOCK, CONNECTIONS, describe, fetch, upload, verify
from hearth.models.manifest import CHUNK, File
from hearth.storage.base import Conflict, Readable
from hearth.storage.file import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(f"file://{tmp_path}/store")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def in_twenty_seconds() -> float:
    return time.monotonic() + 20


def entry_of(data: bytes, path: str = "a") -> File:
    return File(path, len(data), hashlib.sha256(data).hexdigest())


@pytest.mark.parametrize("size", [0, 1, BLOCK + 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_fetched_files_equal_the_uploaded_ones(store: FileStore, folder: Path, tmp_path: Path, size: int) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(os.urandom(size))
    tag = upload(store, "m/1/weights.bin", source)
    entry = describe(source)
    assert tag == entry.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (entry.path, entry.size, len(entry.chunks)) == (
        "weights.bin",
        size,
        -(-size // CHUNK) if size > CHUNK else 0,
    )
    fetch(store, "m/1", [entry], folder, in_twenty_seconds())
    assert (folder / "weights.bin").read_bytes() == source.read_bytes()
    assert (folder / "weights.bin").stat().st_mode & 0o777 == 0o600
    assert verify(entry, folder / "weights.bin")
    for data in (b"", b"new"):
        source.write_bytes(data)
        with pytest.raises(Conflict):
            upload(store, "m/1/weights.bin", source, if_absent=True)


def test_many_files_are_fetched_at_once_by_few_threads(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry_of(bytes([number]) * (number + 1), f"file{number}") for number in range(9)]
    for number, entry in enumerate(entries):
        store.put(f"m/1/{entry.path}", bytes([number]) * (number + 1))
    barrier, threads = threading.Barrier(CONNECTIONS), set[int]()
    original = FileStore.open

    @contextmanager
    def open_together(self: FileStore, path: str, start: int, length: int, size: int) -> Iterator[Readable]:
        if threading.get_ident() not in threads:
            threads.add(threading.get_ident())
            barrier.wait(5)  # CONNECTIONS threads are here at the same time
        with original(self, path, start, length, size) as source:
            yield source

    monkeypatch.setattr(FileStore, "open", open_together)
    fetch(store, "m/1", entries, folder, in_twenty_seconds())
    assert len(threads) == CONNECTIONS
    assert all(verify(entry, folder / entry.path) for entry in entries)


def test_few_pieces_need_no_further_threads(store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("m/1/a", b"12345")
    started = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (started.append(thread), start(thread)))
    fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())
    assert not started


@pytest.mark.parametrize("position", [0, CHUNK + 5])
def test_a_flipped_byte_is_refused(
    store: FileStore, folder: Path, tmp_path: Path, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    source = tmp_path / "weights.bin"
    data = bytearray(os.urandom(CHUNK + 100))
    source.write_bytes(data)
    entry = describe(source)
    data[position] ^= 1
    store.put("m/1/weights.bin", bytes(data))
    with pytest.raises(IntegrityError, match=r"weights\.bin does not match the manifest \(SHA-256 differs\)"):
        fetch(store, "m/1", [entry], folder, in_twenty_seconds())


def test_a_large_file_without_chunks_is_refused(store: FileStore, folder: Path) -> None:
    """Its pieces could not be verified one by one."""
    data = bytes(CHUNK + 1)
    store.put("m/1/a", data)
    with pytest.raises(HearthError):
        fetch(store, "m/1", [entry_of(data)], folder, time.monotonic() + 0.1)


def test_an_empty_file_must_be_described_as_empty(store: FileStore, folder: Path) -> None:
    store.put("m/1/a", b"")
    with pytest.raises(IntegrityError, match="SHA-256 differs"):
        fetch(store, "m/1", [File("a", 0, "0" * 64)], folder, time.monotonic() + 0.1)


def test_a_damaged_transfer_is_tried_again(store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("m/1/a", b"12345")
    transfers = [(b"12x45", b""), (b"12", b""), (b"12", b"345")]
    sources = iter(transfers)
    monkeypatch.setattr(FileStore, "open", lambda *_: pieces(*next(sources)))
    fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())
    assert (folder / "a").read_bytes() == b"12345"
    assert next(sources, None) is None


@contextmanager
def pieces(*parts: bytes, seconds: float = 0) -> Iterator[Readable]:
    remaining = iter(parts)

    class Source:
        def readinto(self, buffer: memoryview, /) -> int:
            time.sleep(seconds)
            part = next(remaining, b"")
            buffer[: len(part)] = part
            return len(part)

    yield Source()


def test_a_transfer_that_ends_early_says_where(store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    monkeypatch.setattr(FileStore, "open", lambda *_: pieces(b"12"))
    with pytest.raises(StoreError, match="a ended after 2 of 5 bytes"):
        fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())


@pytest.mark.parametrize("limit", ["argument", "request"])
def test_a_slow_transfer_ends_at_the_deadline(
    store: FileStore, folder: Path, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    monkeypatch.setattr(FileStore, "open", lambda *_: pieces(b"1", b"2", b"3", b"4", b"5", seconds=0.1))
    ends = time.monotonic() + (0.15 if limit == "argument" else 20)
    token = deadline._end.set(time.monotonic() + 0.15 if limit == "request" else None)
    try:
        with pytest.raises(Loading, match="m@1 is being loaded"):
            fetch(store, "m/1", [entry_of(b"12345")], folder, ends)
    finally:
        deadline._end.reset(token)


def test_a_missing_file_is_no_missing_model(store: FileStore, folder: Path) -> None:
    """A client must not be answered 404 for a damaged artifact."""
    with pytest.raises(StoreError, match="a is listed in the manifest but is not in the store"):
        fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())


def test_the_first_failure_stops_all_threads(store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry_of(b"1", f"file{number}") for number in range(40)]
    opened = []

    def fail(_: FileStore, path: str, *__: int) -> None:
        opened.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(FileStore, "open", fail)
    with pytest.raises(KeyboardInterrupt):
        fetch(store, "m/1", entries, folder, in_twenty_seconds())
    assert 1 <= len(opened) <= CONNECTIONS


def test_blocks_are_allocated_before_the_download(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated = []

    def full(descriptor: int, start: int, size: int) -> None:
        allocated.append((start, size))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(FileStore, "open", lambda *_: pytest.fail("the download has begun"))
    with pytest.raises(OSError, match="No space left"):
        fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())
    assert allocated == [(0, 5)]


def test_fetch_never_writes_through_an_existing_link(store: FileStore, folder: Path, tmp_path: Path) -> None:
    store.put("m/1/a", b"12345")
    (victim := tmp_path / "victim").write_text("kept")
    (folder / "a").symlink_to(victim)
    fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())
    assert victim.read_text() == "kept"
    assert not (folder / "a").is_symlink()
    assert (folder / "a").read_bytes() == b"12345"


def test_a_link_that_appears_during_the_download_is_not_followed(
    store: FileStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put("m/1/a", b"12345")
    (victim := tmp_path / "victim").write_text("kept")
    allocate = os.posix_fallocate

    def swap(descriptor: int, start: int, size: int) -> None:
        allocate(descriptor, start, size)
        (folder / "a").unlink()
        (folder / "a").symlink_to(victim)

    monkeypatch.setattr(os, "posix_fallocate", swap)
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    with pytest.raises(StoreError, match="did not respond"):
        fetch(store, "m/1", [entry_of(b"12345")], folder, in_twenty_seconds())
    assert victim.read_text() == "kept"


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "folder", "longer", "other", "missing"])
def test_only_a_regular_file_with_the_right_content_verifies(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    path = tmp_path / "name"
    file = entry_of(b"x", "name")
    path.write_bytes(b"x")
    assert verify(file, path)
    path.unlink()
    match kind:
        case "symlink":
            path.symlink_to(tmp_path / "elsewhere")
        case "hardlink":
            path.hardlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "longer":
            path.write_bytes(b"xx")
        case "other":
            path.write_bytes(b"y")
    assert not verify(file, path)
