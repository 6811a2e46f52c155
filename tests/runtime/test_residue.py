"""Nothing of one caller's request is there for the next: not in answers, log lines, context or files; not in the way
in which a request ends, were it a tokenizer's panic; not in lines that a client's words could forge."""

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
from tests.functions.test_predict import picture
from tests.runtime.auth.test_api_keys import ENTRIES, KEYS, key_header, path_for
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event
from tests.support.artifacts import describe, publish

MARK = "residue7c1f9e"
"""Of tenant A alone, in everything that it sends."""
_opened: list[str] | None = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _opened is not None and event == "open":
        path, _, flags = arguments
        if isinstance(path, (str, bytes)) and flags & (os.O_WRONLY | os.O_RDWR) and not str(path).startswith("/dev/"):
            _opened.append(str(path))


sys.addaudithook(_watch)


@contextmanager
def files_written() -> Iterator[list[str]]:
    """What is opened to be written meanwhile, by any thread of this process."""
    global _opened
    _opened = written = []
    try:
        yield written
    finally:
        _opened = None


@pytest.fixture
def warm_container(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A process with keys, and a folder for temporary files of its own, whose path this is."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    api_keys._read_table.cache_clear()
    return scratch


def of_tenant_a() -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    """Requests with the mark in every field: answered, refused, broken. Method, path, body, headers."""
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


def of_tenant_b() -> Iterator[tuple[str, str, bytes]]:
    """Every route there is, right and wrong."""
    for protocol in protocols():
        for route in protocol.routes:
            for model in ("sentiment-en", "resnet20-cifar10"):
                yield route.method, path_for(route, model), b""
                yield route.method, path_for(route, model), b'{"inputs": "good"}'
    for path in ("/", "/docs", "/openapi.json", "/nowhere"):
        yield "GET", path, b""


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All lines but those of the client that asks."""
    lines = [vars(record) for record in caplog.records if not record.name.startswith("httpx")]
    return json.dumps(lines, default=str)


def by_the_local_server(client: TestClient, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
    answer = client.request(method, path, content=body, headers=headers)
    return answer.text + str(answer.headers)


def by_the_handler(handler: Handler, method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
    event = rest_v1_event(path.partition("?")[0], body, method)
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    event["multiValueQueryStringParameters"] = {MARK: [MARK]} if MARK in path.partition("?")[2] else None
    return json.dumps(handler(event, CONTEXT))


@pytest.mark.parametrize("door", ["local", "lambda"])
def test_the_next_caller_meets_nothing_of_the_one_before(
    warm_container: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    caplog.set_level(logging.INFO)
    with TestClient(serve.app()) as client:
        handler = create_handler((*text.TASKS, *image.TASKS))

        def ask(method: str, path: str, body: bytes, headers: dict[str, str]) -> str:
            if door == "local":
                return by_the_local_server(client, method, path, body, headers)
            return by_the_handler(handler, method, path, body, headers)

        ask("POST", "/models/sentiment-en", b'{"inputs": "good"}', key_header("all"))  # which loads the models
        ask("POST", "/models/resnet20-cifar10", picture(), key_header("all"))
        with files_written() as written:
            echoed = [
                ask(method, path, body, headers | key_header("all")) for method, path, body, headers in of_tenant_a()
            ]
        assert any(MARK in answer for answer in echoed), "the control: A itself is told some of its words"
        assert written == [], "a request is written to no file"
        assert MARK not in said(caplog).replace(f"/{MARK}", ""), "nor to the log"
        caplog.clear()
        heard = [ask(method, path, body, key_header("words")) for method, path, body in of_tenant_b()]
    assert len(heard) > 100
    assert not [answer for answer in heard if MARK in answer]
    assert MARK not in said(caplog)
    out, err = capfd.readouterr()
    assert '"message":"request"' in out
    assert MARK not in out.replace(f"/{MARK}", "") + err
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if MARK.encode() in path.read_bytes() or MARK in path.name]
    assert list(warm_container.iterdir()) == []


def test_the_watch_on_files_sees_them() -> None:
    with files_written() as written, tempfile.TemporaryFile() as file:
        file.write(b"x")
    assert written


def _traces() -> list[object]:
    return [thing for thing in gc.get_objects() if type(thing) is trace.Timing]


def test_what_a_request_leaves_in_context_goes_with_it(warm_container: Path) -> None:
    """Context variables, the objects of a request, and the chain of its exceptions."""
    before = trace.begin()
    there = _traces()  # other tests' of this process
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
    assert [thing for thing in _traces() if thing not in there] == []


# A panic


def make_hostile(store: Path) -> None:
    """The sentiment model with a tokenizer whose expression does not end on some texts."""
    folder = store / "sentiment-en/1"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    tokenizer.save(str(folder / "tokenizer.json"))
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)
    files = tuple(describe(path) for path in sorted(folder.iterdir()) if path.name != "manifest.json")
    publish(folder, msgspec.structs.replace(manifest, files=files))


PANICS = b'{"inputs": "' + b"a" * 60 + b'b"}'
FINE = b'{"inputs": "good"}'


def test_the_hostile_tokenizer_does_panic() -> None:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    with pytest.raises(BaseException, match="retry-limit") as caught:
        tokenizer.encode("a" * 60 + "b")
    assert not isinstance(caught.value, Exception)


def test_a_panic_becomes_an_answer_and_the_next_call_is_fine(serving: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_hostile(serving)
    with TestClient(serve.app()) as client:
        for path in ("/models/sentiment-en", "/endpoints/sentiment-en/invocations"):
            answer = client.post(path, content=PANICS)
            assert 500 <= answer.status_code <= 503, answer.text
            assert "retry-limit" not in answer.text
            assert client.post(path, content=FINE).status_code == 200
        tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a" * 60 + "b"]}
        assert client.post("/v2/models/sentiment-en/infer", json={"inputs": [tensor]}).status_code >= 500
    handler = create_handler(text.TASKS)
    assert handler(rest_v1_event("/models/sentiment-en", PANICS), CONTEXT)["statusCode"] >= 500
    assert handler(rest_v1_event("/models/sentiment-en", FINE), CONTEXT)["statusCode"] == 200
    lines = log_lines(capsys)
    assert [line["status"] for line in lines if line["message"] == "request"] == [500, 200, 500, 200, 500, 500, 200]
    assert "aaaa" not in json.dumps(lines)


def test_a_panic_in_a_ping_and_before_the_app_is_answered_too(serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panic = _panic()
    monkeypatch.setenv("HEARTH_MODELS", "sentiment-en")
    settings.get.cache_clear()
    handler = create_handler(text.TASKS)

    def fail(*_: object) -> None:
        raise panic

    monkeypatch.setattr("hearth.models.cache.Model", fail)
    assert handler({"ping": True}, CONTEXT)["models"]["sentiment-en"].startswith("internal")
    monkeypatch.setattr(handler, "respond", fail)
    assert handler(rest_v1_event("/models/sentiment-en", FINE), CONTEXT)["statusCode"] == 500
    for ending in (KeyboardInterrupt(), SystemExit()):  # those are no failures of a request
        panic = ending
        with pytest.raises(type(ending)):
            handler(rest_v1_event("/models/sentiment-en", FINE), CONTEXT)


def _panic() -> BaseException:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Replace(Regex("(a+)+$"), "x")
    try:
        tokenizer.encode("a" * 60 + "b")
    except BaseException as panic:
        return panic
    raise AssertionError("no panic")


# Lines that nobody can forge


HOSTILE = "x\r\n" + '{"level":"ERROR"}' + "\u2028\u0085\x1b[2J\u202e\x00\ud800" + "y" * 100_000


def test_no_text_breaks_or_floods_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    timing = trace.Timing()
    timing.fields |= {"model": HOSTILE, "version": HOSTILE, "outcome": HOSTILE, "tenant": HOSTILE}
    log.finish_request(timing, request_id=HOSTILE, status=500, trigger="http", failure=Internal(HOSTILE))
    (line,) = [one for one in capfd.readouterr().out.split("\n") if one]
    assert len(line) < 5000
    assert line.isprintable()
    document = json.loads(line)
    assert document["level"] == "INFO"
    assert document["request_id"].startswith("x\\r\\n{")
    assert all(value.isprintable() for value in document.values() if isinstance(value, str))


def test_a_line_that_cannot_be_written_tells_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python would print the exception in whose handling it was, with the words of it."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    try:
        raise ValueError(MARK)
    except ValueError as error:
        log.log_unexpected(error)
        log.finish_request(trace.Timing(), request_id="r", status=500, trigger="http", failure=Internal("fault"))
    assert MARK not in "".join(capfd.readouterr())


def test_a_plain_text_stays_as_it_is() -> None:
    for fine in ("sentiment-en", "我喜欢", "é ü", 5, 0.5, True):
        assert log.plain(fine) == fine
