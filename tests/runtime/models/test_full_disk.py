"""A disk that is really full: a small tmpfs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.errors import Unavailable
from hearth.models.cache import Cache
from hearth.models.disk_cache import DiskCache
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.cli import serve
from tests.conftest import set_alias
from tests.support.artifacts import make_text_artifact

DISK_KB = 400


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with the models `a` and `b`, each of which fits on the disk alone, and `large`, which does not."""
    for name, size in (("a", 200_000), ("b", 200_000), ("large", 600_000)):
        make_text_artifact(tmp_path / "store", name, filler=size)
        set_alias(tmp_path / "store", name, "1")
    return tmp_path / "store"


def test_models_replace_each_other_on_a_full_disk_and_what_is_too_large_leaves_nothing(disk: Path, store: Path) -> None:
    cache = Cache(Registry(open_store(store.as_uri())), DiskCache(disk / "cache", 2**30), 2**20, 1, 20)
    for name in ("a", "b", "a"):
        with cache.get(name) as model:
            assert model.manifest.model == name
        cache.drop(cache.resolve(name).ref)
    with pytest.raises(Unavailable, match=r"more (space|ephemeral storage)"), cache.get("large"):
        pass
    assert not [path for path in (disk / "cache").iterdir() if path.name.startswith(".partial")]
    with cache.get("b"):
        pass


@pytest.fixture
def full(disk: Path) -> Path:
    with pytest.raises(OSError, match="No space"):
        (disk / "filler").write_bytes(bytes(DISK_KB * 2048))
    return disk


def test_without_space_for_the_audit_a_request_is_refused(
    serving: Path, full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_AUDIT", f"file://{full}/audit.jsonl")
    for policy, status in (("refuse", 503), ("continue", 200)):
        monkeypatch.setenv("HEARTH_AUDIT_FAILURE", policy)
        settings.get.cache_clear()
        with TestClient(serve.app()) as client:
            assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == status, policy


def test_without_space_an_upload_is_refused_and_leaves_nothing(
    serving: Path, full: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_UPLOADS", f"file://{full}/uploads")
    monkeypatch.setenv("HEARTH_OUTPUT", f"file://{tmp_path}/results")
    settings.get.cache_clear()
    with TestClient(serve.app()) as client:
        ticket = client.post(
            "/uploads", json={"model": "sentiment-en", "content_type": "text/plain", "size": 50_000}
        ).json()
        response = client.post(ticket["url"], data=ticket["fields"], files={"file": b"good " * 10_000})
        assert response.status_code == 503, response.text
        assert client.post("/models/sentiment-en", json={"inputs": "good"}).status_code == 200
    assert not [path for path in full.rglob("*") if path.is_file() and path.name != "filler"]
