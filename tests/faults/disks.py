"""Faults of the disk that caches artifacts."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.lab import Lab
from tests.faults.rows import Row, call_text_model, row


@contextmanager
def limit_file_size(lab: Lab) -> Iterator[None]:
    """Limit files to a megabyte: writing more fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024 * 1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def cached_weights(lab: Lab) -> Path:
    return next(path for path in (lab.scratch / "cache").rglob("model.bin") if path.is_file())


def damaged_cache(damage: Callable[[Path], object]) -> Callable[[Lab], object]:
    """Restart with a cache whose weights were damaged after the download."""

    @contextmanager
    def inject(lab: Lab) -> Iterator[None]:
        assert call_text_model(lab) == "200"
        damage(cached_weights(lab))
        lab.clear_caches()
        yield

    return inject


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:1000])


@contextmanager
def file_instead_of_folder(lab: Lab) -> Iterator[None]:
    (lab.scratch / "cache").write_text("not a folder")
    try:
        yield
    finally:
        (lab.scratch / "cache").unlink()


def rows(lab: Lab) -> Iterator[Row]:
    refusals = ("503 unavailable", "503 store_error", "500 internal")
    yield row("the disk is full", "the cache", refusals, limit_file_size)
    yield row("a bit of a cached file flipped", "the cache", "200", damaged_cache(flip))  # type: ignore[arg-type]
    yield row("a cached file truncated", "the cache", "200", damaged_cache(truncate))  # type: ignore[arg-type]
    yield row("a cached file gone", "the cache", "200", damaged_cache(Path.unlink))  # type: ignore[arg-type]
    yield row("a file in place of the folder", "the cache", refusals, file_instead_of_folder)
