"""Faults of the disk that caches artifacts."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.lab import Lab
from tests.faults.rows import Row, ask, row


@contextmanager
def full(place: Lab) -> Iterator[None]:
    """Files may not grow beyond a megabyte, which shows as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def weights(place: Lab) -> Path:
    return next(path for path in (place.scratch / "cache").rglob("model.bin") if path.is_file())


def harmed(harm: Callable[[Path], object]) -> Callable[[Lab], object]:
    """A start from a cache whose weights were harmed since they were fetched."""

    @contextmanager
    def broken(place: Lab) -> Iterator[None]:
        assert ask(place) == "200"
        harm(weights(place))
        place.forget()
        yield

    return broken


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:1000])


@contextmanager
def a_file_there(place: Lab) -> Iterator[None]:
    (place.scratch / "cache").write_text("in the way")
    try:
        yield
    finally:
        (place.scratch / "cache").unlink()


def rows(place: Lab) -> Iterator[Row]:
    clean = ("503 unavailable", "503 store_error", "500 internal")
    yield row("the disk is full", "the cache", clean, full)
    yield row("a bit of a cached file flipped", "the cache", "200", harmed(flip))  # type: ignore[arg-type]
    yield row("a cached file truncated", "the cache", "200", harmed(truncate))  # type: ignore[arg-type]
    yield row("a cached file gone", "the cache", "200", harmed(Path.unlink))  # type: ignore[arg-type]
    yield row("a file in the place of the folder", "the cache", clean, a_file_there)
