"""The benchmark's clients, its servers' processes, and the sizes at which growth is measured."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import clients
from tests.benchmarks.area import Missing
from tests.benchmarks.areas import growth
from tests.benchmarks.engines.grown import make_texts
from tests.benchmarks.runner import CaseResult
from tests.support.emulator import free_port

SERVER = """
import http.server, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if body == b"{}" else 400)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_responses_are_counted_and_the_server_ends_with_the_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "load", lambda url, body: _load(url, body, seconds=0.3))
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with clients.server([sys.executable, "-c", SERVER, str(port)], url, "{}", {}, tmp_path) as turn:
        figures = turn()
    assert figures["answers_per_second"] > 0
    assert figures["p99_ms"] >= figures["p50_ms"] > 0
    assert figures["peak_mb"] > 1
    with pytest.raises(RuntimeError, match="a client failed"):
        _load(url, "{}", seconds=0.1)


_load = clients.load


def test_a_server_that_ends_is_missing_with_its_last_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such model')"]
    with pytest.raises(Missing, match="no such model"):
        clients.server(command, f"http://127.0.0.1:{free_port()}/", "{}", {}, tmp_path).__enter__()


def test_each_kind_of_growing_work_is_measured_in_a_fresh_process(tmp_path: Path) -> None:
    make_texts(tmp_path, objects=3, models=2)
    for kind, size in (("batch", 3), ("models", 2), ("listing", 1500)):
        with growth._fresh(kind, size, tmp_path) as turn:
            figures = turn()
        assert figures["seconds"] > 0, kind
        assert figures["per_item_ms"] == pytest.approx(figures["seconds"] * 1000 / size)
        assert figures["peak_mb"] > 10


def test_growth_is_plotted_per_case(tmp_path: Path) -> None:
    (case, *_) = growth.cases(tmp_path)
    row = {way.name: {"seconds": 1.0, "per_item_ms": 1.0, "peak_mb": 50.0} for way in case.ways}
    assert case.name in growth.report(tmp_path, [CaseResult(case, [row])])
    assert (tmp_path / "growth.png").stat().st_size > 1000
