"""The same tests on a folder, on moto's S3, and on a local AWS that checks TLS and signatures."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from hearth.errors import IntegrityError, NotFound, SettingsError, StoreError
from hearth.models.download import describe, fetch, upload, verify
from hearth.models.manifest import CHUNK, File
from hearth.storage.base import Conflict, Store
from hearth.storage.open import open_store
from hearth.storage.s3 import S3Store
from tests.support.s3 import CREDENTIALS, client, folder_s3, moto_s3
from tests.template.local_stack import KEYS, Aws


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto_s3() as url:
        client(url).create_bucket(Bucket="artifacts")
        yield url


@pytest.fixture(scope="session")
def bucket_of_aws(aws: Aws) -> Aws:
    aws.client("s3").create_bucket(Bucket="artifacts")
    return aws


@pytest.fixture(params=["file", "moto", "ministack"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "file":
        return open_store(f"file://{tmp_path}/store")
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    if request.param == "moto":
        url = request.getfixturevalue("s3_url")
    else:
        aws = request.getfixturevalue("bucket_of_aws")
        url = aws.url
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
        monkeypatch.setenv("SSL_CERT_FILE", str(aws.certificate))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    return open_store(f"s3://artifacts/{tmp_path.name}")


def in_twenty_seconds() -> float:
    return time.monotonic() + 20


def test_a_written_object_is_read_and_listed(store: Store) -> None:
    tag = store.put("m/1/a b+ü.txt", b"one")
    assert store.get_with_etag("m/1/a b+ü.txt") == (b"one", tag)
    store.put("m/2/b", b"")
    assert store.get("m/2/b") == b""
    assert store.list() == ["m/1/a b+ü.txt", "m/2/b"]
    assert store.list("m/2/") == ["m/2/b"]


def test_a_missing_object_is_not_found(store: Store) -> None:
    store.put("m/other", b"x")
    with pytest.raises(NotFound, match="m/none"):
        store.get("m/none")


def test_conditional_writes_have_one_winner(store: Store) -> None:
    tag = store.put("aliases.json", b"{}", if_absent=True)
    with pytest.raises(Conflict):
        store.put("aliases.json", b"[]", if_absent=True)
    store.put("aliases.json", b"{1}", if_match=tag)
    with pytest.raises(Conflict):
        store.put("aliases.json", b"{2}", if_match=tag)
    assert store.get("aliases.json") == b"{1}"


def test_one_of_many_concurrent_writers_wins(store: Store) -> None:
    outcomes: list[str] = []

    def publish(text: bytes) -> None:
        try:
            store.put("m/1/manifest.json", text, if_absent=True)
            outcomes.append(text.decode())
        except Conflict:
            pass

    threads = [threading.Thread(target=publish, args=(str(number).encode(),)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [store.get("m/1/manifest.json").decode()]


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17])
def test_fetched_files_equal_the_uploaded_ones(store: Store, tmp_path: Path, size: int) -> None:
    source = tmp_path / "weights.bin"
    source.write_bytes(os.urandom(size))
    upload(store, "m/1/weights.bin", source)
    entry = describe(source)
    assert entry.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    (folder := tmp_path / "fetched").mkdir()
    fetch(store, "m/1", [entry], folder, in_twenty_seconds())
    assert (folder / "weights.bin").read_bytes() == source.read_bytes()
    assert verify(entry, folder / "weights.bin")


@pytest.mark.parametrize("position", [0, CHUNK + 5])
def test_a_flipped_byte_is_refused(store: Store, tmp_path: Path, position: int) -> None:
    source = tmp_path / "weights.bin"
    data = bytearray(os.urandom(CHUNK + 100))
    source.write_bytes(data)
    entry = describe(source)
    data[position] ^= 1
    store.put("m/1/weights.bin", bytes(data))
    (folder := tmp_path / "fetched").mkdir()
    with pytest.raises(IntegrityError, match=r"weights\.bin"):
        fetch(store, "m/1", [entry], folder, in_twenty_seconds())


@pytest.mark.parametrize("size", [3, 9])
def test_an_object_of_another_size_is_refused_before_it_is_read(store: Store, tmp_path: Path, size: int) -> None:
    store.put("m/1/a", b"12345")
    (folder := tmp_path / "fetched").mkdir()
    sha256 = hashlib.sha256(b"12345"[:size]).hexdigest()
    with pytest.raises(IntegrityError, match=f"has 5 bytes, not the {size}"):
        fetch(store, "m/1", [File("a", size, sha256)], folder, in_twenty_seconds())


def test_an_object_larger_than_its_limit_is_not_read(store: Store) -> None:
    store.put("m/aliases.json", b"12345")
    assert store.get("m/aliases.json", limit=5) == b"12345"
    with pytest.raises(StoreError, match="more than the 4 bytes"):
        store.get("m/aliases.json", limit=4)
    assert store.get("m/aliases.json") == b"12345"


@pytest.mark.parametrize("kind", ["symlink", "hardlink", "pipe", "folder"])
def test_a_link_pipe_or_folder_never_verifies(tmp_path: Path, kind: str) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    path = tmp_path / "name"
    file = File("name", 1, hashlib.sha256(b"x").hexdigest())
    path.write_bytes(b"x")
    assert verify(file, path)
    path.unlink()
    match kind:
        case "symlink":
            path.symlink_to(tmp_path / "elsewhere")
        case "hardlink":
            path.hardlink_to(tmp_path / "elsewhere")
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    assert not verify(file, path)


def test_a_path_cannot_leave_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with pytest.raises(NotFound):
        open_store(f"file://{tmp_path}/store").get("../secret")


def test_fetch_never_writes_through_an_existing_link(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    store.put("m/1/a", b"12345")
    (folder := tmp_path / "fetched").mkdir()
    (victim := tmp_path / "victim").write_text("kept")
    (folder / "a").symlink_to(victim)
    with pytest.raises(FileExistsError):
        fetch(store, "m/1", [File("a", 5, hashlib.sha256(b"12345").hexdigest())], folder, in_twenty_seconds())
    assert victim.read_text() == "kept"


@pytest.mark.parametrize("uri", ["", "s3://", "http://x/y", "file://relative", "/path"])
def test_a_malformed_uri_is_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="s3://bucket/prefix"):
        open_store(uri)


def test_an_unreachable_server_is_a_store_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key, value)
    with folder_s3(tmp_path) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
    with pytest.raises(StoreError, match="did not respond"):
        open_store("s3://artifacts/x").get("m/1/manifest.json", deadline=time.monotonic() + 1)


def test_each_yields_the_paths_of_a_prefix(store: Store) -> None:
    for path in ("a/1", "a/deep/er/2", "ab/3", "b/4"):
        store.put(path, b"x")
    assert sorted(store.iter_paths("a")) == ["a/1", "a/deep/er/2", "ab/3"]
    assert sorted(store.iter_paths("a/de")) == ["a/deep/er/2"]
    assert list(store.iter_paths("none/such")) == []
    assert next(iter(store.iter_paths("b"))) == "b/4"


def test_a_listing_reads_all_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [f"many/{number:02}" for number in range(12)]
    for path in paths:
        store.put(path, b"")
    if isinstance(store, S3Store):
        request = store.bucket.request
        pages = []

        def request_small_page(method: str, key: str, **options: Any) -> Any:
            pages.append(key)
            return request(method, key, **options | {"query": options["query"] | {"max-keys": "5"}})

        monkeypatch.setattr(store.bucket, "request", request_small_page)
        assert store.list("many/") == paths
        assert len(pages) == 3
    assert store.list("many/") == paths


def test_a_deleted_object_is_gone_in_all_versions(store: Store) -> None:
    if isinstance(store, S3Store):
        s3 = enable_versioning(store)
    store.put("d/x", b"1")
    store.put("d/x", b"2")
    store.put("d/xy", b"neighbour")
    store.delete("d/x")
    store.delete("d/x")  # deleting a missing object is no error
    assert store.list("d/") == ["d/xy"]
    with pytest.raises(NotFound):
        store.get("d/x")
    if isinstance(store, S3Store):
        remaining = s3.list_object_versions(Bucket="artifacts", Prefix=store.prefix)
        assert [version["Key"] for version in remaining["Versions"]] == [f"{store.prefix}/d/xy"]
        assert not remaining.get("DeleteMarkers")


def enable_versioning(store: S3Store) -> Any:
    """Enable versioning of the store's bucket; return a client of it."""
    s3 = boto3.Session().client(
        "s3",
        endpoint_url=os.environ["AWS_ENDPOINT_URL_S3"],
        verify=os.environ.get("SSL_CERT_FILE"),
        region_name="us-east-1",
    )
    s3.put_bucket_versioning(Bucket="artifacts", VersioningConfiguration={"Status": "Enabled"})
    return s3


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
