"""What the exporter does with values, a full queue and its batches; test_tracing sends to a receiver."""

from __future__ import annotations

import http.client
import socket

import pytest

from hearth.telemetry import otlp, tracing
from hearth.telemetry.otlp import Exporter, _value
from hearth.telemetry.timing import begin


def test_values_have_the_types_of_the_protocol() -> None:
    assert _value(True) == {"boolValue": True}
    assert _value(2**40) == {"intValue": str(2**40)}
    assert _value(0.5) == {"doubleValue": 0.5}
    assert _value(["a", 1]) == {"arrayValue": {"values": [{"stringValue": "a"}, {"intValue": "1"}]}}


@pytest.mark.parametrize("headers", [{}, {"authorization": "a\nb"}])
def test_on_lambda_a_message_that_fails_delays_no_other_request(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connections, connection = list[str](), http.client.HTTPConnection

    def connect(address: str, timeout: float) -> http.client.HTTPConnection:
        connections.append(address)
        return connection(address, timeout=timeout)

    monkeypatch.setattr(http.client, "HTTPConnection", connect)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        exporter = Exporter(f"http://127.0.0.1:{silent.getsockname()[1]}", headers, {}, waits=True)
        timing = begin()
        timing.trace = tracing.Trace("a" * 32, "b" * 16)
        for _ in range(3):
            exporter.export(timing, 1.0, {}, 200)
        assert (len(connections), exporter.dropped) == (1, 2)
        monkeypatch.setattr(otlp, "PAUSE", 0.0)
        exporter._resumes = 0.0
        exporter.export(timing, 1.0, {}, 200)
        assert len(connections) == 2


def test_a_full_queue_drops_spans_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "QUEUE", 2)
    monkeypatch.setattr(Exporter, "_run", lambda self: None)
    exporter = Exporter("http://127.0.0.1:9", {}, {}, waits=False)
    timing = begin()
    timing.trace = tracing.Trace("a" * 32, "b" * 16)
    for _ in range(5):
        exporter.export(timing, 1.0, {}, 200)
    assert exporter.dropped == 3
