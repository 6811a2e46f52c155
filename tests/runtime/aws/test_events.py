"""Events put on a bus: one signed request, repeated when the bus is busy, and an error that says what to do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from hearth.aws import events
from hearth.errors import StoreError

ACCEPTED = (200, b'{"FailedEntryCount": 0}')


class Bus(BaseHTTPRequestHandler):
    """Gives the responses of its list, one after another, and keeps the requests."""

    responses: list[tuple[int, bytes]]
    requests: list[tuple[dict[str, str], dict[str, object]]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status, content = self.responses.pop(0)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bus]]:
    handler = type("Handler", (Bus,), {"responses": [], "requests": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL_EVENTS": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("hearth.aws.retry.time.sleep", lambda seconds: None)
    events._endpoint.cache_clear()
    yield handler
    events._endpoint.cache_clear()
    server.shutdown()
    server.server_close()


def put() -> None:
    events.put_event("default", "hearth", "Result Created", {"label": "negative", "score": 0.97})


def test_an_event_is_one_signed_entry(bus: type[Bus]) -> None:
    bus.responses += [ACCEPTED]
    put()
    ((headers, body),) = bus.requests
    assert headers["x-amz-target"] == "AWSEvents.PutEvents"
    assert headers["content-type"] == "application/x-amz-json-1.1"
    assert "/eu-west-1/events/aws4_request" in headers["authorization"]
    (entry,) = body["Entries"]  # type: ignore[misc]
    assert (entry["EventBusName"], entry["Source"], entry["DetailType"]) == ("default", "hearth", "Result Created")
    assert json.loads(entry["Detail"]) == {"label": "negative", "score": 0.97}


@pytest.mark.parametrize(
    "busy", [(503, b""), (400, b'{"__type": "ThrottlingException"}'), (200, b'{"FailedEntryCount": 1}')]
)
def test_a_busy_bus_is_asked_again(bus: type[Bus], busy: tuple[int, bytes]) -> None:
    bus.responses += [busy, ACCEPTED]
    put()
    assert len(bus.requests) == 2


def test_a_refusal_is_not_repeated_and_says_what_to_check(bus: type[Bus]) -> None:
    bus.responses += [(400, b'{"__type": "AccessDeniedException"}')]
    with pytest.raises(StoreError, match="returned 400 for Result Created on the bus default: check the role"):
        put()
    assert len(bus.requests) == 1
