"""Nothing of one caller's request reaches the next: not in responses, log lines, context or files, not after a
tokenizer's panic, and not in log lines forged by a client's input."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient
from tokenizers import Regex, Tokenizer, models, normalizers

from hearth import deadline, settings
from hearth.auth import api_keys
from hearth.aws_lambda.handler import Handler, create_handler
from hearth.errors import Internal
from hearth.models.manifest import Manifest
from hearth.protocols.router import protocols
from hearth.telemetry import log
from hearth.telemetry import timing as trace
from hearth_build.cli import serve
from hearth_functions.image_classification import app as image
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.runtime.auth.test_locked_routes import path_for
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event
from tests.support.api_keys import ENTRIES, KEYS, key_header
from tests.support.artifacts import describe, publish
from tests.support.pictures import picture

MARK = "residue7c1f9e"
"""A string in everything that tenant A sends, and in nothing else."""
_opened: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR) and not str(path).startswith("/dev/"):
            _opened.append(str(path))


sys.addaudithook(_watch)


@contextmanager
def files_written() -> Iterator[list[str]]:
    """Yield the list of files that any thread of this process opens for writing during the block."""
    global _opened
    _opened = written = []
    try:
        yield written
    finally:
        _opened = None


@pytest.fixture
def warm_container(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process require keys and use its own folder for temporary files; return that folder."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    return scratch


def requests_of_tenant_a() -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """Yield requests with the mark in every field, valid and invalid: method, path, body, headers."""
    good = {"inputs": f"good {MARK}"}
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [f"good {MARK}"]}
    form = (
        f'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n{MARK}\r\n--b\r\nContent-Disposition: form-data; '
    )
    form += f'name="file"; filename="{MARK}.wav"\r\nContent-Type: audio/wav\r\n\r\n{MARK * 120_000}\r\n--b--\r\n'
    for path, document in (
        ("/models/sentiment-en", good),
        ("/models/sentiment-en", good | {MARK: 1}),
        ("/models/sentiment-en", {"inputs": [MARK] * 100}),
        ("/models/sentiment-en", {"inputs": MARK * 5000}),
        ("/models/sentiment-en", {"inputs": 5, "parameters": {MARK: MARK}}),
        (f"/models/{MARK}", good),
        (f"/models/sentiment-en@{MARK}", good),
        (f"/pipeline/{MARK}/sentiment-en", good),
        ("/v2/models/sentiment-en/infer", {"inputs": [tensor]}),
        (
            "/v2/models/sentiment-en/infer",
            {"inputs": [tensor | {"name": MARK}], "id": MARK, "parameters": {MARK: MARK}},
        ),
        (f"/v2/models/{MARK}-raw/infer", {"inputs": []}),
        ("/v2/repository/models/sentiment-en/load", {"parameters": {MARK: MARK}}),
        ("/v1/chat/completions", {"model": MARK, "messages": [{"role": "user", "content": MARK}]}),
        ("/v1/embeddings", {"model": "sentiment-en", "input": MARK, "user": MARK}),
        ("/endpoints/sentiment-en/invocations", good),
        (f"/{MARK}", good),
    ):
        yield "POST", path, json.dumps(document).encode(), {"x-extra": MARK, "user-agent": MARK}
    yield "POST", "/models/sentiment-en", b'{"inputs": "' + MARK.encode(), {}
    yield "POST", "/models/resnet20-cifar10", picture() + MARK.encode(), {}
    yield "POST", "/models/resnet20-cifar10", picture()[:60] + MARK.encode(), {}
    yield "POST", f"/models/resnet20-cifar10?{MARK}={MARK}", picture(), {}
    yield "POST", "/invocations", b"{}", {"x-amzn-sagemaker-target-model": MARK, "content-encoding": MARK}
    yield "POST", "/v1/audio/transcriptions", form.encode(), {"content-type": "multipart/form-data; boundary=b"}


def requests_of_tenant_b() -> Iterator[tuple[str, str, bytes]]:
    """Yield valid and invalid requests to every route."""
    for protocol in protocols():
        for route in protocol.routes:
            for model in ("sentiment-en", "resnet20-cifar10"):
                yield route.method, path_for(route, model), b""
                yield route.method, path_for(route, model), b'{"inputs": "good"}'
    for path in ("/", "/docs", "/openapi.json", "/nowhere"):
        yield "GET", path, b""


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return all log lines except those of the HTTP client."""
    lines = [vars(record) for record in caplog.records if not record.name.startswith("httpx")]
    return json.dumps(lines, default=str)


def send_to_local_server(client: TestClient, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
    response = client.request(method, path, content=body, headers=headers)
    return response.text + str(response.headers)


def send_to_handler(handler: Handler, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
    event = rest_v1_event(path.partition("?")[0], body, method)
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    event["multiValueQueryStringParameters"] = {MARK: [MARK]} if MARK in path.partition("?")[2] else None
    return json.dumps(handler(event, CONTEXT))


@pytest.mark.parametrize("target", ["local", "lambda"])
def test_the_next_caller_gets_nothing_of_the_previous_one(
    warm_container: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
) -> None:
    caplog.set_level(logging.INFO)
    with TestClient(serve.app()) as client:
        handler = create_handler((*text.TASKS, *image.TASKS))

        def send(method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
            if target == "local":
                return send_to_local_server(client, method, path, body, headers)
            return send_to_handler(handler, method, path, body, headers)

        send("POST", "/models/sentiment-en", b'{"inputs": "good"}', key_header("all"))  # loads the models
        send("POST", "/models/resnet20-cifar10", picture(), key_header("all"))
        with files_written() as written:
            own_responses = [
                send(method, path, body, headers | key_header("all"))
                for method, path, body, headers in requests_of_tenant_a()
            ]
        assert any(MARK in response for response in own_responses), "the control: A's own responses contain the mark"
        assert written == [], "no request is written to a file"
        assert MARK not in logged(caplog).replace(f"/{MARK}", ""), "nor to the log"
        caplog.clear()
        other_responses = [
            send(method, path, body, key_header("words")) for method, path, body in requests_of_tenant_b()
        ]
    assert len(other_responses) > 100
    assert not [response for response in other_responses if MARK in response]
    assert MARK not in logged(caplog)
    out, err = capfd.readouterr()
    assert '"message":"request"' in out
    assert MARK not in out.replace(f"/{MARK}", "") + err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if MARK.encode() in path.read_bytes() or MARK in path.name]
    assert list(warm_container.iterdir()) == []


def test_files_written_sees_a_written_file() -> None:
    with files_written() as written, tempfile.TemporaryFile() as file:
        file.write(b"x")
    assert written


def _timings() -> list[object]:
    return [item for item in gc.get_objects() if type(item) is trace.Timing]


@pytest.mark.slow
def test_a_request_leaves_nothing_in_context_variables(warm_container: Path) -> None:
    """Context variables, the objects of a request, and the chain of its exceptions."""
    before = trace.begin()
    existing = _timings()  # those of other tests in this process
    handler = create_handler(text.TASKS)
    context = SimpleNamespace(aws_request_id="request-1", get_remaining_time_in_millis=lambda: 30_000)
    for body in (b'{"inputs": "good"}', b"{", b'{"inputs": 5}'):
        event = rest_v1_event("/models/sentiment-en", body)
        event["multiValueHeaders"] |= {"x-api-key": [KEYS["words"]]}
        handler(event, context)
        assert trace.current() is before
        assert api_keys.current_tenant() == ""
        assert api_keys.allowed_models(["resnet20-cifar10"]) == ["resnet20-cifar10"]
        assert deadline.remaining() is None
    record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}
    record |= {"s3": {"bucket": {"name": "b"}, "object": {"key": f"uploads/sentiment-en/{MARK}"}}}  # type: ignore[dict-item]
    message = {"eventSource": "aws:sqs", "messageId": "m", "body": json.dumps({"Records": [record]})}
    assert handler({"Records": [message]}, context)["batchItemFailures"]
    assert trace.current() is before
    assert deadline.remaining() is None
    assert before.fields == {}
    gc.collect()
    assert [timing for timing in _timings() if timing not in existing] == []


# Panics


def make_hostile(store: Path) -> None:
    """Give the sentiment model a tokenizer whose regular expression does not end on some texts."""
    folder = store / "sentiment-en/1"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    tokenizer.save(str(folder / "tokenizer.json"))
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    files = tuple(describe(path) for path in sorted(folder.iterdir()) if path.name != "manifest.json")
    publish(folder, msgspec.structs.replace(manifest, files=files))


PANICS = b'{"inputs": "' + b"a" * 60 + b'b"}'
VALID = b'{"inputs": "good"}'


def test_the_hostile_tokenizer_panics() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    with pytest.raises(BaseException, match="retry-limit") as caught:
        tokenizer.encode("a" * 60 + "b")
    assert not isinstance(caught.value, Exception)


def test_a_panic_is_a_response_and_the_next_call_succeeds(serving: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_hostile(serving)
    with TestClient(serve.app()) as client:
        for path in ("/models/sentiment-en", "/endpoints/sentiment-en/invocations"):
            response = client.post(path, content=PANICS)
            assert 500 <= response.status_code <= 503, response.text
            assert "retry-limit" not in response.text
            assert client.post(path, content=VALID).status_code == 200
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a" * 60 + "b"]}
        assert client.post("/v2/models/sentiment-en/infer", json={"inputs": [tensor]}).status_code >= 500
    handler = create_handler(text.TASKS)
    assert handler(rest_v1_event("/models/sentiment-en", PANICS), CONTEXT)["statusCode"] >= 500
    assert handler(rest_v1_event("/models/sentiment-en", VALID), CONTEXT)["statusCode"] == 200
    lines = log_lines(capsys)
    assert [line["status"] for line in lines if line["message"] == "request"] == [500, 200, 500, 200, 500, 500, 200]
    assert "aaaa" not in json.dumps(lines)


def test_a_panic_in_a_ping_or_the_adapter_is_a_response(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panic = _panic()
    monkeypatch.setenv("HEARTH_MODELS", "sentiment-en")
    settings.get.cache_clear()
    handler = create_handler(text.TASKS)

    def fail(*_: object) -> None:
        raise panic

    monkeypatch.setattr("hearth.models.cache.Model", fail)
    assert handler({"ping": True}, CONTEXT)["models"]["sentiment-en"].startswith("internal")
    monkeypatch.setattr(handler, "respond", fail)
    assert handler(rest_v1_event("/models/sentiment-en", VALID), CONTEXT)["statusCode"] == 500
    for ending in (KeyboardInterrupt(), SystemExit()):  # those are not errors of a request
        panic = ending
        with pytest.raises(type(ending)):
            handler(rest_v1_event("/models/sentiment-en", VALID), CONTEXT)


def _panic() -> BaseException:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    try:
        tokenizer.encode("a" * 60 + "b")
    except BaseException as panic:
        return panic
    raise AssertionError("no panic")


# Forged log lines


HOSTILE = "x\r\n" + '{"level":"ERROR"}' + "\u2028\u0085\x1b[2J\u202e\x00\ud800" + "y" * 100_000


def test_no_text_breaks_or_floods_a_log_line(capfd: pytest.CaptureFixture[str]) -> None:
    timing = trace.Timing()
    timing.fields |= {"model": HOSTILE, "version": HOSTILE, "outcome": HOSTILE, "tenant": HOSTILE}
    log.finish_request(timing, request_id=HOSTILE, status=500, trigger="http", failure=Internal(HOSTILE))
    (line,) = [text for text in capfd.readouterr().out.split("\n") if text]
    assert len(line) < 5000
    assert line.isprintable()
    document = json.loads(line)
    assert document["level"] == "INFO"
    assert document["request_id"].startswith("x\\r\\n{")
    assert all(value.isprintable() for value in document.values() if isinstance(value, str))


def test_a_log_line_that_cannot_be_written_leaks_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python's logging would print the exception being handled, with its message."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    try:
        raise ValueError(MARK)
    except ValueError as error:
        log.log_unexpected(error)
        log.finish_request(trace.Timing(), request_id="r", status=500, trigger="http", failure=Internal("fault"))
    assert MARK not in "".join(capfd.readouterr())


def test_a_plain_text_is_logged_unchanged() -> None:
    for value in ("sentiment-en", "我喜欢", "é ü", 5, 0.5, True):
        assert log.sanitize(value) == value
