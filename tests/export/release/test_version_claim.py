"""Two publishers of a model get different versions, and neither writes over the other's files."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import StoreError
from hearth.models.download import verify
from hearth.models.manifest import parse
from hearth.storage.base import Conflict
from hearth.storage.file import FileStore
from hearth.storage.open import open_store
from hearth_build.release.publish import publish
from hearth_build.release.version_claim import claim
from tests.export.release.test_publish import rebuilt


def test_the_next_free_number_is_claimed_and_released(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    with claim(store, "m", "1", fixed=False) as first, claim(store, "m", "1", fixed=False) as second:
        assert (first, second) == ("1", "2")
        with pytest.raises(Conflict, match="m/1/publishing"), claim(store, "m", "1", fixed=True):
            pass
    assert store.list() == []
    with claim(store, "m", "1", fixed=True) as again:
        assert again == "1"


def test_what_was_published_since_the_listing_is_not_written_over(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    store.put("m/1/manifest.json", b"{}")
    with pytest.raises(Conflict, match="just now"), claim(store, "m", "1", fixed=True):
        pass
    with claim(store, "m", "1", fixed=False) as version:
        assert version == "2"
    assert store.list() == ["m/1/manifest.json"]


def test_an_interrupted_publisher_releases_its_number(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    with pytest.raises(KeyboardInterrupt), claim(store, "m", "1", fixed=False):
        raise KeyboardInterrupt
    assert store.list() == []


def test_a_publisher_that_may_not_delete_succeeds(tmp_path: Path) -> None:
    class Undeletable(FileStore):
        def delete(self, path: str) -> None:
            raise StoreError("access denied")

    store = Undeletable(tmp_path.as_uri())
    with claim(store, "m", "1", fixed=False) as version:
        assert version == "1"
    assert store.list() == ["m/1/publishing"]


def test_two_builds_published_at_once_are_both_whole(toy_work: Path, tmp_path: Path) -> None:
    other = rebuilt(toy_work / "artifact", tmp_path / "other")
    barrier = threading.Barrier(2)

    class Meeting(FileStore):
        """Both publishers have listed the versions before either writes."""

        def put(self, path: str, data: Any, **conditions: Any) -> str:
            if path == "toy/1/publishing":  # once for each of the two
                barrier.wait(60)
            return super().put(path, data, **conditions)

    store = Meeting((tmp_path / "store").as_uri())
    with ThreadPoolExecutor(2) as pool:
        manifests = list(pool.map(lambda folder: publish(store, folder), (toy_work / "artifact", other)))
    assert sorted(manifest.version for manifest in manifests) == ["1", "2"]
    for version in ("1", "2"):
        folder = tmp_path / "store" / "toy" / version
        manifest = parse((folder / "manifest.json").read_bytes())
        assert manifest.version == version
        assert all(verify(file, folder / file.path) for file in manifest.files)
