"""The warm cache: it loads once, is bounded, and recovers from damaged or foreign files."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from hearth import settings
from hearth.aws import retry
from hearth.errors import BadRequest, HearthError, IntegrityError, NotFound, Unavailable
from hearth.models import preload
from hearth.models.cache import Cache, warm_cache
from hearth.models.disk_cache import DiskCache
from hearth.models.download import fetch
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth.telemetry.timing import begin
from tests.conftest import set_alias
from tests.support.artifacts import make_text_artifact


def cache_of(store: Path, folder: Path, *, memory: int = 2**30, disk: int = 2**30) -> Cache:
    registry = Registry(open_store(f"file://{store}"), alias_seconds=0)
    return Cache(registry, DiskCache(folder, disk), memory, threads=1, fetch_seconds=20)


def folders(cache: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in cache.iterdir())


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


def test_the_disk_is_bounded_and_evicts_the_least_recently_used(store_folder: Path, tmp_path: Path) -> None:
    cache = cache_of(store_folder, tmp_path / "cache", memory=1, disk=1)
    for name in ("sentiment-en", "resnet20-cifar10"):
        with cache.get(name):
            pass
    assert folders(tmp_path / "cache") == ["resnet20-cifar10@1"]
    assert cache.disk.evictions == 1


def test_partial_folders_of_dead_processes_are_removed(store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / ".partial-dead").mkdir(parents=True)
    with cache_of(store_folder, tmp_path / "cache").get("sentiment-en"):
        pass
    assert folders(tmp_path / "cache") == ["sentiment-en@1"]


def test_a_damaged_cached_file_is_fetched_again(store_folder: Path, tmp_path: Path) -> None:
    with cache_of(store_folder, tmp_path / "cache").get("sentiment-en"):
        pass
    (weights,) = (tmp_path / "cache").glob("*/model.bin")
    original = weights.read_bytes()
    weights.write_bytes(bytes(len(original)))
    with cache_of(store_folder, tmp_path / "cache").get("sentiment-en"):
        pass
    (weights,) = (tmp_path / "cache").glob("*/model.bin")
    assert weights.read_bytes() == original


@pytest.mark.parametrize("entry", ["a file", "a link", "an extra file", "a link inside", "a folder instead of a file"])
def test_a_foreign_entry_under_the_right_name_is_replaced(store_folder: Path, tmp_path: Path, entry: str) -> None:
    with cache_of(store_folder, tmp_path / "cache").get("sentiment-en") as model:
        expected = {file.path for file in model.manifest.files}
    (folder,) = (tmp_path / "cache").iterdir()
    (elsewhere := tmp_path / "away").mkdir()
    match entry:
        case "a file":
            shutil.rmtree(folder)
            folder.write_bytes(b"garbage")
        case "a link":
            folder.rename(elsewhere / "there")
            folder.symlink_to(elsewhere / "there")
        case "an extra file":
            (folder / "more.bin").write_bytes(b"x")
        case "a link inside":
            (folder / "model.bin").rename(elsewhere / "model.bin")
            (folder / "model.bin").symlink_to(elsewhere / "model.bin")
        case _:
            (folder / "model.bin").unlink()
            (folder / "model.bin" / "deep").mkdir(parents=True)
    cache = cache_of(store_folder, tmp_path / "cache")
    with cache.get("sentiment-en") as model:
        assert cache.disk.bytes_fetched == model.manifest.size
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".partial"))
    assert {path.name for path in folder.iterdir()} == expected
    assert all(stat.S_ISREG(path.lstat().st_mode) and path.lstat().st_nlink == 1 for path in folder.iterdir())


def test_the_cache_is_private_to_its_user(store_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)
    for folder in (tmp_path / "cache", tmp_path / "new" / "cache"):
        with cache_of(store_folder, folder).get("sentiment-en"):
            pass
        (artifact,) = folder.iterdir()
        modes = [path.stat().st_mode & 0o777 for path in (folder, artifact, artifact / "model.bin")]
        assert modes == [0o700, 0o700, 0o600]


def test_a_cache_folder_of_another_user_is_refused(store_folder: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        folder = Path("/")  # it belongs to root
    else:
        (folder := tmp_path / "theirs").mkdir()
        os.chown(folder, 12345, 12345)
    with pytest.raises(Unavailable, match="HEARTH_CACHE_DIR"), cache_of(store_folder, folder).get("sentiment-en"):
        pass
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(Unavailable, match="HEARTH_CACHE_DIR"),
        cache_of(store_folder, tmp_path / "file").get("sentiment-en"),
    ):
        pass


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
    assert folders(tmp_path / "cache") == []


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


def test_a_prefetch_and_a_request_download_once(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTH_MODELS", "sentiment-en")
    settings.get.cache_clear()
    warm_cache.cache_clear()
    thread = preload.start_fetch()
    with warm_cache().get("sentiment-en") as model:
        assert warm_cache().disk.bytes_fetched == model.manifest.size
    thread.join()
    assert warm_cache().disk.bytes_fetched == model.manifest.size


@pytest.mark.parametrize(("pinned", "loaded"), [("sentiment-en", 1), ("sentiment-en,resnet20-cifar10", 0)])
def test_a_single_pinned_model_is_loaded_before_the_first_request(
    serving: Path, monkeypatch: pytest.MonkeyPatch, pinned: str, loaded: int
) -> None:
    monkeypatch.setenv("HEARTH_MODELS", pinned)
    settings.get.cache_clear()
    warm_cache.cache_clear()
    preload.start_fetch().join()
    assert len(warm_cache().loaded()) == loaded
    assert len(list(warm_cache().disk.folder.iterdir())) == pinned.count(",") + 1


def test_a_full_disk_evicts_and_retries_once(
    store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = cache_of(store_folder, tmp_path / "cache")
    with cache.get("sentiment-en"):
        pass
    failures = [OSError(errno.ENOSPC, "No space left on device")]

    def full_once(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        fetch(*arguments)

    monkeypatch.setattr("hearth.models.disk_cache.fetch", full_once)
    with cache.get("resnet20-cifar10"):
        pass
    assert [name.partition("@")[0] for name in folders(tmp_path / "cache")] == ["resnet20-cifar10"]
    failures += [OSError(errno.ENOSPC, "No space left on device")] * 2
    make_text_artifact(store_folder, "other")
    with pytest.raises(Unavailable, match="more space"), cache.get("other"):
        pass
    assert not [name for name in folders(tmp_path / "cache") if name.startswith(".partial")]


PROCESS = """
import sys
from pathlib import Path
from hearth.models.cache import Cache
from hearth.models.disk_cache import DiskCache
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth.models.download import fetch
store, folder, limit = sys.argv[1:]
for turn in range(25):
    for model in ("sentiment-en", "resnet20-cifar10", "third"):
        cache = Cache(Registry(open_store(store)), DiskCache(Path(folder), int(limit)), 2**30, 1, 20)
        with cache.get(model) as loaded:
            assert loaded.manifest.model == model
"""


def test_processes_share_a_disk_that_is_too_small_for_all_models(store_folder: Path, tmp_path: Path) -> None:
    make_text_artifact(store_folder, "third", filler=20_000)
    limit = sum(path.stat().st_size for path in (store_folder / "third/1").iterdir()) + 1000
    command = [sys.executable, "-c", PROCESS, store_folder.as_uri(), str(tmp_path / "cache"), str(limit)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert not [name for name in folders(tmp_path / "cache") if name.startswith(".partial")]


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
