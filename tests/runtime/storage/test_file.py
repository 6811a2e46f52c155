"""A store in a local folder: the contract, and what only folders can do."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from hearth.errors import NotFound, StoreError
from hearth.storage.file import FileStore
from hearth.storage.open import open_store
from tests.runtime.storage.contract import StoreContract


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(f"file://{tmp_path}/store")


class TestFileStore(StoreContract):
    """The contract."""


def test_a_uri_is_decoded_and_loses_its_last_slash(tmp_path: Path) -> None:
    store = FileStore(f"file://{tmp_path}/a%20b/")
    assert store.uri == f"file://{tmp_path}/a%20b"
    store.put("x", b"1")
    assert (tmp_path / "a b/x").read_bytes() == b"1"


@pytest.mark.parametrize("path", ["../secret", "m/../../secret", ".."])
def test_a_path_cannot_leave_the_root(store: FileStore, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("x")
    store.put("m/1", b"x")
    with pytest.raises(NotFound, match="not below the store's root"):
        store.get(path)
    with pytest.raises(NotFound, match="not below the store's root"):
        store.put(path, b"y")
    with pytest.raises(NotFound, match="not below the store's root"):
        store.delete(path)
    assert (tmp_path / "secret").read_text() == "x"


def test_the_tag_is_the_contents_sha256(store: FileStore) -> None:
    expected = hashlib.sha256(b"one").hexdigest()
    assert store.put("a", b"one") == expected
    assert store.get_with_etag("a") == (b"one", expected)


@pytest.mark.parametrize("path", ["folder", "file/below", "none"])
def test_what_is_no_file_is_not_found(store: FileStore, path: str) -> None:
    store.put("folder/x", b"")
    store.put("file", b"")
    with pytest.raises(NotFound, match=f"{path} is not in the store"):
        store.get(path)


def test_a_disk_error_is_a_store_error_with_its_reason(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    store.put("a", b"1")
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreError, match="a could not be read: Permission denied"):
        store.get("a")
    with pytest.raises(StoreError, match="a could not be removed: Permission denied"):
        store.delete("a")


def test_a_file_below_a_file_is_deleted_without_an_error(store: FileStore) -> None:
    store.put("file", b"x")
    store.delete("file/below")
    assert store.get("file") == b"x"


def test_a_write_is_seen_whole_or_not_at_all(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is written beside the object and renamed over it; what is left behind by a crash is not listed."""
    store.put("a", b"old")

    def crash(self: Path, target: Path) -> None:
        assert self.read_bytes() == b"new"
        assert target.read_bytes() == b"old"
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(RuntimeError):
            store.put("a", b"new")
    assert [path.name for path in store.root.iterdir()] == ["a"]
    (store.root / ".a.1.2").write_bytes(b"partial")
    (store.root / ".hidden").mkdir()
    (store.root / ".hidden/x").write_bytes(b"")
    assert store.list() == ["a"]
    assert store.get("a") == b"old"


def test_a_condition_on_a_missing_object_is_a_conflict(store: FileStore) -> None:
    with pytest.raises(StoreError, match="changed by someone else"):
        store.put("a", b"x", if_match="tag")
    assert store.list() == []


def test_conditions_are_checked_under_a_lock_of_the_folder(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers that both find no object must not both write it."""
    store.put("other", b"")
    exists, entered, may_go = Path.exists, threading.Event(), threading.Event()
    winners: list[bytes] = []

    def slow_exists(self: Path, **options: bool) -> bool:
        result = exists(self, **options)
        if self.name == "a" and not entered.is_set():
            entered.set()
            may_go.wait(5)
        return result

    monkeypatch.setattr(Path, "exists", slow_exists)

    def write(data: bytes) -> None:
        try:
            store.put("a", data, if_absent=True)
            winners.append(data)
        except StoreError:
            pass

    first = threading.Thread(target=write, args=(b"1",))
    first.start()
    assert entered.wait(5)
    second = threading.Thread(target=write, args=(b"2",))
    second.start()
    second.join(0.2)
    assert second.is_alive()  # it waits for the first writer
    may_go.set()
    first.join()
    second.join()
    assert winners == [b"1"]
    assert store.get("a") == b"1"


def test_a_listing_survives_folders_that_disappear(store: FileStore) -> None:
    store.put("a/1", b"")
    store.put("b/1", b"")
    paths = store.iter_paths()
    first = next(paths)
    other = "b" if first.startswith("a") else "a"
    (store.root / other / "1").unlink()
    (store.root / other).rmdir()
    assert list(paths) == []


def test_links_between_folders_do_not_make_a_listing_endless(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    for path in ("a/1/manifest.json", "b/1/manifest.json"):
        store.put(path, b"{}")
    root = tmp_path / "store"
    (root / "a/self").symlink_to(root / "a")
    (root / "a/up").symlink_to(root)
    (root / "a/to-b").symlink_to(root / "b")
    (root / "b/to-a").symlink_to(root / "a")
    (root / "alias").symlink_to(root / "a/1")
    (root / "gone").symlink_to(root / "nowhere")
    paths = store.list()
    assert {"a/1/manifest.json", "b/1/manifest.json", "alias/manifest.json", "a/to-b/1/manifest.json"} <= set(paths)
    assert len(paths) < 20
