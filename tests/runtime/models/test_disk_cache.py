"""Artifacts on disk: bounded, private, shared by processes; damaged and foreign files are replaced."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import Unavailable
from hearth.models.download import fetch
from tests.runtime.models.test_cache import cache_of
from tests.support.artifacts import make_text_artifact


def folders(cache: Path) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in cache.iterdir())


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


@pytest.mark.slow
def test_processes_share_a_disk_that_is_too_small_for_all_models(store_folder: Path, tmp_path: Path) -> None:
    make_text_artifact(store_folder, "third", filler=20_000)
    limit = sum(path.stat().st_size for path in (store_folder / "third/1").iterdir()) + 1000
    command = [sys.executable, "-c", PROCESS, store_folder.as_uri(), str(tmp_path / "cache"), str(limit)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], errors
    assert not [name for name in folders(tmp_path / "cache") if name.startswith(".partial")]
