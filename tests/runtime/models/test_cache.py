"""The warm cache: it loads once, is bounded, and recovers from damaged or foreign files."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from hearth.aws import retry
from hearth.errors import BadRequest, HearthError, IntegrityError, NotFound
from hearth.models.cache import Cache, warm_cache
from hearth.models.disk_cache import DiskCache
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth.telemetry.timing import begin
from tests.conftest import set_alias
from tests.support.artifacts import make_text_artifact


def cache_of(store: Path, folder: Path, *, memory: int = 2**30, disk: int = 2**30) -> Cache:
    registry = Registry(open_store(f"file://{store}"), alias_seconds=0)
    return Cache(registry, DiskCache(folder, disk), memory, threads=1, fetch_seconds=20)


def test_concurrent_requests_load_once(serving: Path) -> None:
    barrier = threading.Barrier(8)

    def request() -> None:
        barrier.wait()
        with warm_cache().get("sentiment-en"):
            pass

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (warm_cache().counters.loads, warm_cache().counters.hits) == (1, 7)


@pytest.mark.parametrize("name", ["sentiment-en", "sentiment-en@1", "sentiment-en@prod"])
def test_a_name_a_version_and_an_alias_give_the_same_model(serving: Path, name: str) -> None:
    with warm_cache().get(name) as model:
        assert (model.manifest.model, model.manifest.version) == ("sentiment-en", "1")


@pytest.mark.parametrize("name", ["none", "sentiment-en@9", "sentiment-en@none"])
def test_an_unknown_name_is_not_found_and_leaves_nothing(serving: Path, name: str) -> None:
    with pytest.raises(NotFound), warm_cache().get(name):
        pass
    assert not warm_cache()._slots


@pytest.mark.parametrize("name", ["", "../up", "a/b", "UP", "a@b@c", "a" * 200])
def test_a_malformed_name_is_a_bad_request(serving: Path, name: str) -> None:
    with pytest.raises(BadRequest), warm_cache().get(name):
        pass


def test_memory_is_bounded_but_a_model_in_use_stays(store_folder: Path, tmp_path: Path) -> None:
    cache = cache_of(store_folder, tmp_path / "cache", memory=1)
    with cache.get("sentiment-en") as held:
        with cache.get("resnet20-cifar10"):
            pass
        with cache.get("sentiment-en") as again:
            assert again is held
    with cache.get("resnet20-cifar10"):
        pass
    assert cache.counters.evictions > 0
    with cache.get("sentiment-en") as reloaded:
        assert reloaded is not held


def test_a_damaged_artifact_is_never_parsed(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    graph = store_folder / "sentiment-en/1/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    with (
        pytest.raises(IntegrityError, match=r"model\.onnx does not match the manifest"),
        cache_of(store_folder, tmp_path / "cache").get("sentiment-en"),
    ):
        pass
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_failed_reload_keeps_serving_the_old_version(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    cache = cache_of(store_folder, tmp_path / "cache")
    with cache.get("sentiment-en"):
        pass
    second = make_text_artifact(store_folder, version="2")
    (second / "model.bin").write_bytes(b"")
    set_alias(store_folder, "sentiment-en", "2")
    with cache.get("sentiment-en") as model:
        assert model.manifest.version == "1"
    assert cache.counters.stale == 1
    with pytest.raises(HearthError), cache.get("sentiment-en@2"):
        pass


def test_an_artifact_under_another_name_is_refused(store_folder: Path, tmp_path: Path) -> None:
    (store_folder / "sentiment-en/1").rename(store_folder / "sentiment-en/7")
    with (
        pytest.raises(HearthError, match="describes sentiment-en@1"),
        cache_of(store_folder, tmp_path).get("sentiment-en@7"),
    ):
        pass


def test_the_first_request_reports_the_preload(serving: Path) -> None:
    warm_cache().preload("sentiment-en")
    for cold_start in (True, False):
        timing = begin()
        with warm_cache().get("sentiment-en"):
            pass
        assert timing.fields["cold"] is cold_start
        assert ({"manifest", "fetch", "load", "wait"} <= set(timing.steps)) is cold_start
    assert (warm_cache().counters.loads, warm_cache().counters.hits) == (1, 2)
    assert all(slot.users == 0 for slot in warm_cache()._slots.values())


def test_the_names_whose_last_version_is_remembered_are_bounded(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth.models.cache.MAX_NAMES", 2)
    cache = warm_cache()
    for name in ("sentiment-en", "sentiment-en@1", "sentiment-en@prod", "sentiment-en@prod"):
        cache.get(name).close()
    assert list(cache._last_opened) == ["sentiment-en@1", "sentiment-en@prod"]
