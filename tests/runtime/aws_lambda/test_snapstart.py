"""SnapStart's hooks: what a snapshot holds, and what every process restored from it gets anew."""

from __future__ import annotations

import http.server
import importlib
import random
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hearth import settings
from hearth.aws import client
from hearth.aws_lambda import snapstart
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from tests.support.artifacts import make_text_artifact
from tests.support.layers import runtime_client


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    make_text_artifact(tmp_path / "store", "sentiment", "1")
    (tmp_path / "store/sentiment/aliases.json").write_text('{"prod": {"version": "1"}}')
    monkeypatch.setenv("HEARTH_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HEARTH_MODELS", "sentiment,nobody-published-it")
    settings.get.cache_clear()
    warm_cache.cache_clear()
    yield tmp_path / "store"
    settings.get.cache_clear()
    warm_cache.cache_clear()


def test_a_snapshot_holds_the_pinned_models() -> None:
    snapstart.before_snapshot()
    assert warm_cache().loaded() == {Ref("sentiment", "1")}


def test_two_restores_have_different_random_numbers() -> None:
    numbers = []
    for _ in range(2):
        random.seed(7)  # the same snapshot
        snapstart.after_restore()
        numbers.append(random.getrandbits(64))
    assert numbers[0] != numbers[1]
    random.seed(7)
    unseeded = random.getrandbits(64)
    random.seed(7)
    assert random.getrandbits(64) == unseeded  # without the hook the numbers repeat


def test_a_restore_verifies_cached_files_again(tmp_path: Path) -> None:
    snapstart.before_snapshot()
    cache = warm_cache()
    graph = next(tmp_path.glob("cache/sentiment@1-*/model.onnx"))
    original = graph.read_bytes()
    fetched = cache.disk.bytes_fetched

    graph.write_bytes(bytes(len(original)))
    snapstart.after_restore()
    cache.drop(Ref("sentiment", "1"))
    with cache.get("sentiment"):
        pass
    assert graph.read_bytes() == original
    assert cache.disk.bytes_fetched == 2 * fetched


def test_a_restore_sees_an_alias_that_moved(store: Path) -> None:
    snapstart.before_snapshot()
    make_text_artifact(store, "sentiment", "2")
    (store / "sentiment/aliases.json").write_text('{"prod": {"version": "2"}}')
    assert warm_cache().registry.find("sentiment") == Ref("sentiment", "1")
    snapstart.after_restore()
    assert warm_cache().registry.find("sentiment") == Ref("sentiment", "2")


class _Counting(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections = 0

    def setup(self) -> None:
        super().setup()
        type(self).connections += 1

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_a_restore_makes_new_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Counting) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        endpoint = client.Endpoint(f"http://127.0.0.1:{server.server_port}", "s3")
        for expected in (1, 1, 2):
            if expected == 2:
                snapstart.after_restore()
            endpoint.send("GET", "/").read()
            assert _Counting.connections == expected
        endpoint.drop()
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_both_hooks_are_registered_with_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(runtime_client()))
    snapshot_restore_py = importlib.import_module("snapshot_restore_py")
    del sys.modules["snapshot_restore_py"]  # monkeypatch removes the entry set next
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", snapshot_restore_py)
    snapstart.register()
    assert [hook[0] for hook in snapshot_restore_py.get_before_snapshot()] == [snapstart.before_snapshot]
    assert [hook[0] for hook in snapshot_restore_py.get_after_restore()] == [snapstart.after_restore]


def test_without_lambdas_library_nothing_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", None)
    snapstart.register()
