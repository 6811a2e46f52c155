"""Reads the sketches that processes have written to HEARTH_WATCH."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec

from hearth.storage.base import Store
from hearth.telemetry.sketches import Sketch

READERS = 16
"""Threads that read, because each read of a remote store takes time."""
FORMAT = "%Y-%m-%dT%H"


def merged(store: Store, model: str, version: str, start: datetime, end: datetime) -> Sketch:
    """All sketches of the hours that begin from `start` on and before `end`, added up. Files that are no sketches are
    left out. Raises StoreError."""
    total = Sketch()
    for sketch in _sketches(store, [path for path, _ in _paths(store, model, version, start, end)]):
        total.merge(sketch)
    return total


def by_hour(store: Store, model: str, version: str, start: datetime, end: datetime) -> dict[datetime, Sketch]:
    """As `merged`, by hour, oldest first."""
    pairs = sorted(_paths(store, model, version, start, end), key=lambda pair: pair[1])
    hours: dict[datetime, Sketch] = {}
    for (_, hour), sketch in zip(pairs, _sketches(store, [path for path, _ in pairs]), strict=True):
        hours.setdefault(hour, Sketch()).merge(sketch)
    return hours


def _paths(store: Store, model: str, version: str, start: datetime, end: datetime) -> Iterator[tuple[str, datetime]]:
    first = start.astimezone(UTC) - timedelta(hours=1)  # an hour counts if a part of it does
    for path in store.iter_paths(f"{model}/{version}/"):
        parts = path.split("/")
        try:
            hour = datetime.strptime(parts[2], FORMAT).replace(tzinfo=UTC)
        except (IndexError, ValueError):
            continue
        if len(parts) == 4 and first < hour < end:
            yield path, hour


def _sketches(store: Store, paths: list[str]) -> Iterator[Sketch]:
    def read(path: str) -> Sketch:
        try:
            return msgspec.json.decode(store.get(path), type=Sketch)
        except msgspec.MsgspecError:
            return Sketch()

    with ThreadPoolExecutor(READERS) as pool:
        yield from pool.map(read, paths)
