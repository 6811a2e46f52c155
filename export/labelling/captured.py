"""Captured inputs and their labels in a store: read, sorted by doubt, labelled, and written as data for training."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from hearth.errors import BadRequest, NotFound
from hearth.storage.base import Store
from hearth.tasks.answers import LABELS, Captured

READERS = 16
T = TypeVar("T")


class Label(msgspec.Struct):
    label: str
    time: str


@dataclass
class Item:
    captured: Captured
    label: str = ""
    """Given by feedback or by hand; empty: none yet."""

    @property
    def doubt(self) -> float:
        """How unsure the model was, 0 to 1: one minus the distance of its two best scores."""
        scores = sorted(self.captured.scores.values(), reverse=True)
        if not scores:
            return 1.0
        return 1 - (scores[0] - scores[1] if len(scores) > 1 else scores[0])


def read_items(store: Store, model: str) -> list[Item]:
    """All captured inputs of a model, the most doubtful first. Raises StoreError."""
    paths = [path for path in store.iter_paths(f"{model}/") if path.endswith(".json") and path.count("/") == 3]
    with ThreadPoolExecutor(READERS) as pool:
        documents = dict(zip(paths, pool.map(lambda path: _read(store, path), paths), strict=True))
    labels = {}
    for path in paths:
        _, version, folder, name = path.split("/")
        if folder == LABELS and (label := _parse(documents[path], Label)):
            labels[version, name.removesuffix(".json")] = label.label
    items = []
    for path in paths:
        _, version, folder, _ = path.split("/")
        if folder != LABELS and (captured := _parse(documents[path], Captured)):
            items.append(Item(captured, labels.get((version, captured.id), "")))
    return sorted(items, key=lambda item: -item.doubt)


def _read(store: Store, path: str) -> bytes:
    try:
        return store.get(path)
    except NotFound:  # it has expired meanwhile
        return b""


def _parse(document: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.MsgspecError:
        return None


def save_label(store: Store, item: Item, label: str) -> None:
    """Label an item. Raises StoreError."""
    captured = item.captured
    document = Label(label, datetime.now(UTC).isoformat(timespec="seconds"))
    store.put(f"{captured.model}/{captured.version}/{LABELS}/{captured.id}.json", msgspec.json.encode(document))
    item.label = label


def export(items: list[Item], path: Path) -> int:
    """Write labelled items as `hearth train` reads them: texts as JSON lines, pictures in a folder with one folder for
    each label. Returns their number. Raises BadRequest if there are none, or if the path does not fit."""
    labelled = [item for item in items if item.label]
    if not labelled:
        raise BadRequest("Nothing is labelled yet; run `hearth review` and label some items")
    if labelled[0].captured.text:
        if path.suffix.lower() != ".jsonl":
            raise BadRequest(f"Texts are written into a file NAME.jsonl, not {path.name}")
        lines = [msgspec.json.encode({"text": item.captured.text, "label": item.label}) + b"\n" for item in labelled]
        path.write_bytes(b"".join(lines))
        return len(labelled)
    if path.suffix:
        raise BadRequest(f"Pictures are written into a folder, which {path.name} does not look like")
    for item in labelled:
        folder = path / item.label.replace("/", "_").lstrip(".")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{item.captured.id}.jpg").write_bytes(item.captured.picture)
    return len(labelled)
