"""The webhook: signed announcements, retries, and what becomes of an announcement that is not taken."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hearth import deadline, settings
from hearth.async_inference import storage_events, webhook
from hearth.async_inference.storage_events import EventFailedError
from hearth.aws import retry
from hearth.errors import SettingsError, StoreError
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines

KEY_BYTES = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY_BYTES).decode()
KEY = "uploads/sentiment-en/a.txt"


class Receiver:
    """A server that takes webhooks: `statuses` are its next answers, then 204."""

    def __init__(self) -> None:
        self.statuses = list[int]()
        self.requests = list[tuple[str, dict[str, str], bytes]]()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.requests.append((self.path, headers, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?from=hearth"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: None)
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join(10)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification's reference implementation."""
    signature = webhook.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_an_announcement_is_signed_and_retried_under_the_same_id(receiver: Receiver) -> None:
    receiver.statuses = [500, 429]
    webhook.post(receiver.url, SECRET, "uploads/好.txt@v1", {"label": "good"})
    assert len(receiver.requests) == 3
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1
    path, headers, body = receiver.requests[-1]
    assert path == "/hook?from=hearth"
    signed = b".".join((headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body))
    expected = base64.b64encode(hmac.new(KEY_BYTES, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    document = json.loads(body)
    assert (document["type"], document["data"]) == ("result.created", {"label": "good"})


def test_a_redirect_or_a_refusal_is_not_repeated_at_once(receiver: Receiver) -> None:
    for status in (302, 400, 410):
        receiver.statuses = [status]
        with pytest.raises(webhook.WebhookRefused, match=f"returned {status}"):
            webhook.post(receiver.url, SECRET, "a", {})
    assert len(receiver.requests) == 3


def test_a_webhook_that_cannot_be_reached_is_an_error(receiver: Receiver) -> None:
    receiver.server.server_close()
    with pytest.raises(webhook.WebhookError, match="cannot be reached"):
        webhook.post("http://127.0.0.1:1/hook", SECRET, "a", {})


def test_a_webhook_that_does_not_respond_leaves_time_to_say_so() -> None:
    """Otherwise Lambda would end the process, and with it the other messages of the batch."""
    with socket.create_server(("127.0.0.1", 0)) as silent, deadline.within(1.0):
        with pytest.raises(webhook.WebhookError, match="cannot be reached: TimeoutError"):
            webhook.post(f"http://127.0.0.1:{silent.getsockname()[1]}/hook", SECRET, "a", {})
        assert (deadline.remaining() or -9) > -1


def test_the_key_may_be_in_parameter_store_and_is_remembered(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = list[str]()
    monkeypatch.setattr("hearth.aws.ssm.get_parameter", lambda name: names.append(name) or f"{SECRET}\n")
    webhook._parameter.cache_clear()
    for _ in range(2):
        webhook.post(receiver.url, "ssm:/hearth/webhook", "a", {})
    assert names in (["/hearth/webhook"], ["/hearth/webhook"] * 2)  # twice if a period has ended in between
    _, headers, body = receiver.requests[-1]
    assert headers["webhook-signature"] == webhook.sign(
        SECRET, headers["webhook-id"], headers["webhook-timestamp"], body
    )
    monkeypatch.setattr("hearth.aws.ssm.get_parameter", lambda name: "secret")
    webhook._parameter.cache_clear()
    with pytest.raises(StoreError, match="/hearth/webhook must have whsec_"):
        webhook.post(receiver.url, "ssm:/hearth/webhook", "a", {})


@pytest.fixture
def uploads(serving: Path, receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An upload, and a function that announces to the receiver."""
    (tmp_path / "in" / KEY).parent.mkdir(parents=True)
    (tmp_path / "in" / KEY).write_text("good")
    for name, value in (
        ("HEARTH_UPLOADS", (tmp_path / "in").as_uri()),
        ("HEARTH_OUTPUT", (tmp_path / "out").as_uri()),
        ("HEARTH_WEBHOOK", receiver.url),
        ("HEARTH_WEBHOOK_KEY", SECRET),
    ):
        monkeypatch.setenv(name, value)
    settings.get.cache_clear()
    return tmp_path / "out"


def deliver() -> None:
    detail = {"bucket": {"name": "local"}, "object": {"key": KEY, "etag": "", "size": 4, "sequencer": "1"}}
    storage_events.handle(text.TASKS, {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}, None)


def test_a_result_is_announced_without_its_payload(uploads: Path, receiver: Receiver) -> None:
    deliver()
    ((_, _, body),) = receiver.requests
    data = json.loads(body)["data"]
    assert data.pop("score") > 0.5
    assert data == {
        "id": KEY,
        "key": KEY,
        "model": "sentiment-en",
        "version": "1",
        "task": "text-classification",
        "label": "positive",
    }


def test_a_result_that_could_not_be_announced_stays_and_is_announced_by_the_next_delivery(
    uploads: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.statuses = [503] * retry.ATTEMPTS
    with pytest.raises(EventFailedError) as failure:
        deliver()
    assert failure.value.failures[0].code == "webhook_error"
    result = (uploads / f"{KEY}.json").read_bytes()
    deliver()
    assert (uploads / f"{KEY}.json").read_bytes() == result
    assert [line["outcome"] for line in log_lines(capsys) if line.get("status") == 200] == ["answered before"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.requests}) == 1


@pytest.mark.parametrize(
    ("url", "secret", "variable"),
    [
        ("http://example.com/hook", SECRET, "HEARTH_WEBHOOK must be"),
        ("https://", SECRET, "HEARTH_WEBHOOK must be"),
        ("https://example.com/hook", "", "HEARTH_WEBHOOK_KEY must be"),
        ("https://example.com/hook", "whsec_c2hvcnQ=", "HEARTH_WEBHOOK_KEY must be"),
        ("https://example.com/hook", "secret", "HEARTH_WEBHOOK_KEY must be"),
        ("https://example.com/hook", "ssm:", "HEARTH_WEBHOOK_KEY must be"),
    ],
)
def test_settings_are_checked(url: str, secret: str, variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        settings.read({"HEARTH_WEBHOOK": url, "HEARTH_WEBHOOK_KEY": secret})


def test_valid_settings_are_taken() -> None:
    for url in ("https://example.com", "https://example.com:8443/hook?a=b", "http://localhost:9000/hook", ""):
        config = settings.read({"HEARTH_WEBHOOK": url, "HEARTH_WEBHOOK_KEY": SECRET})
        assert (config.webhook, config.webhook_key) == (url, SECRET)
