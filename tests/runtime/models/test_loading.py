"""A download that takes longer than a request goes on at the next attempt; what can never fit says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hearth import deadline, settings
from hearth.errors import Loading, Unavailable
from hearth.models import download
from hearth.models.cache import Cache
from hearth.models.disk_cache import DiskCache
from hearth.models.manifest import CHUNK, File
from hearth.models.model import Model
from hearth.models.registry import Ref, Registry
from hearth.storage.file import FileStore
from hearth.storage.open import open_store

MODEL = "sentiment-en"


class SlowStore(FileStore):
    """Counts the bytes that are read, and stops the clock of a download after `limit` of them."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.bytes, self.limit = 0, 1 << 60

    @contextmanager
    def open(self, path: str, start: int, length: int, size: int) -> Iterator[Any]:
        with super().open(path, start, length, size) as source:
            yield Counter(self, source)


class Counter:
    def __init__(self, store: SlowStore, source: Any) -> None:
        self.store, self.source = store, source

    def readinto(self, buffer: Any) -> int:
        count: int = self.source.readinto(buffer)
        self.store.bytes += count
        if self.store.bytes > self.store.limit:
            deadline.set_seconds(-1)
        return count


@pytest.fixture
def artifact(tmp_path: Path) -> tuple[SlowStore, Any]:
    """A store with a file of five pieces and a short one, and their manifest."""
    folder = tmp_path / "store" / "long" / "1"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(bytes(range(256)) * (4 * CHUNK // 256) + b"end")
    (folder / "model.onnx").write_bytes(b"short")
    files = tuple(download.describe(path) for path in sorted(folder.iterdir()))
    return SlowStore((tmp_path / "store").as_uri()), Described(files)


class Described:
    def __init__(self, files: tuple[File, ...]) -> None:
        self.files = files
        self.size = sum(file.size for file in files)


@pytest.fixture(autouse=True)
def _no_deadline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(download, "CONNECTIONS", 1)
    yield
    deadline.set_from(None)


def fetch(cache: DiskCache, store: SlowStore, described: Any) -> Path:
    deadline.set_seconds(60)
    with cache.artifact(store, Ref("long", "1"), described, time.monotonic() + 60) as folder:
        return folder


def test_a_download_goes_on_where_it_was(tmp_path: Path, artifact: tuple[SlowStore, Any]) -> None:
    store, described = artifact
    store.limit = 2 * CHUNK + CHUNK // 2
    with pytest.raises(Loading, match=r"long@1 is being loaded: 17 of 34 MB are here") as failure:
        fetch(DiskCache(tmp_path / "cache", 1 << 30), store, described)
    assert failure.value.retry_after is not None
    store.limit, store.bytes = 1 << 60, 0
    folder = fetch(DiskCache(tmp_path / "cache", 1 << 30), store, described)  # as another process would
    assert store.bytes == described.size - 2 * CHUNK
    assert {path.name for path in folder.iterdir()} == {"model.bin", "model.onnx"}
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]


def test_a_damaged_piece_is_downloaded_again(tmp_path: Path, artifact: tuple[SlowStore, Any]) -> None:
    store, described = artifact
    store.limit = 2 * CHUNK + CHUNK // 2
    cache = DiskCache(tmp_path / "cache", 1 << 30)
    with pytest.raises(Loading):
        fetch(cache, store, described)
    partial = next((tmp_path / "cache").glob(".loading-*")) / "model.bin"
    with partial.open("r+b") as stream:
        stream.seek(CHUNK + 5)
        stream.write(b"?")
    with (partial.parent / download.JOURNAL).open("a", encoding="utf-8") as journal:
        journal.write("model.bin 7\nother 0\nnonsense\nmodel.bin 999999999999\n")
    store.limit, store.bytes = 1 << 60, 0
    fetch(cache, store, described)
    assert store.bytes == described.size - CHUNK


def test_an_incomplete_download_leaves_when_another_model_needs_its_space(
    tmp_path: Path, artifact: tuple[SlowStore, Any]
) -> None:
    store, described = artifact
    store.limit = 2 * CHUNK + CHUNK // 2
    cache = DiskCache(tmp_path / "cache", described.size + 10)
    with pytest.raises(Loading):
        fetch(cache, store, described)
    store.limit = 1 << 60
    deadline.set_seconds(60)
    (tmp_path / "store" / "long" / "1").rename(tmp_path / "store" / "long" / "2")
    with cache.artifact(store, Ref("long", "2"), described, time.monotonic() + 60):
        assert not list((tmp_path / "cache").glob(".loading-*"))


def test_a_request_does_not_wait_for_a_load_beyond_its_deadline(store_folder: Path, tmp_path: Path) -> None:
    store = open_store(store_folder.as_uri())
    cache = Cache(Registry(store), DiskCache(tmp_path / "cache", 1 << 30), 1 << 30, 1, 60)
    resolved = cache.resolve(MODEL)
    deadline.set_seconds(-1)
    with pytest.raises(Loading):  # this process stopped in time, before or after the load
        cache.open(resolved)
    deadline.set_from(None)
    with cache.open(resolved) as model:
        assert model.manifest.model == MODEL


def test_models_that_are_loaded_too_late_stay_within_the_memory(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SlowModel(Model[Any, Any]):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            deadline.set_seconds(-1)

    monkeypatch.setattr("hearth.models.cache.Model", SlowModel)
    cache = Cache(Registry(open_store(store_folder.as_uri())), DiskCache(tmp_path / "cache", 1 << 30), 1, 1, 60)
    for name in (MODEL, "resnet20-cifar10"):
        deadline.set_seconds(60)
        with pytest.raises(Loading, match="too late"):
            cache.get(name)
        assert cache.loaded() == {Ref(name, "1")}


def test_a_model_larger_than_the_memory_or_the_disk_names_both_sizes(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifact: tuple[SlowStore, Any]
) -> None:
    store, described = artifact
    described.size = 1 << 60
    with pytest.raises(Unavailable, match=r"needs 1152921504607 MB of disk, and .* has \d+ MB in all") as failure:
        fetch(DiskCache(tmp_path / "cache", 1 << 30), store, described)
    assert failure.value.retry_after is None
    monkeypatch.setattr(settings, "get", lambda: settings.read({})._replace(memory=1000))
    cache = Cache(Registry(open_store(store_folder.as_uri())), DiskCache(tmp_path / "c2", 1 << 30), 1 << 30, 1, 60)
    with pytest.raises(Unavailable, match=r"needs more than \d+ MB of memory, and there are 0 MB"):
        cache.get(MODEL)
