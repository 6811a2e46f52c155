"""The pipeline of one request: bodies, errors, headers, and one log line however a response ends."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hearth import settings
from hearth.auth import api_keys
from hearth.errors import BadRequest, HearthError, NotFound, PayloadTooLarge, TooManyRequests, Unauthorized, Unavailable
from hearth.http import pipeline
from hearth.http.pipeline import BodyReader, Exchange, HttpResponse, StreamedBody, error_response
from hearth.models.cache import warm_cache
from hearth.protocols.base import Protocol, Request, Response, Route
from hearth.protocols.router import load
from hearth.tasks.task import Usage
from hearth.telemetry.timing import Timing, begin
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines

HUGGING_FACE = load("huggingface")
Endpoint = Callable[[Request], Response]


@pytest.fixture(autouse=True)
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bodies of at most 1,000 bytes, no keys, and no caller after the test."""
    monkeypatch.setenv("HEARTH_MAX_BODY_MB", str(1000 / settings.MEGABYTE))
    monkeypatch.delenv("HEARTH_API_KEYS", raising=False)
    settings.get.cache_clear()
    token = api_keys._caller.set(None)
    yield
    api_keys._caller.reset(token)
    settings.get.cache_clear()


def exchange(
    endpoint: Endpoint,
    headers: dict[str, str] | None = None,
    *,
    streams: bool = True,
    **route: Any,
) -> Exchange:
    return Exchange(
        HUGGING_FACE,
        Route("POST", "/x", endpoint, "x", "X", **route),
        Request(text.TASKS, headers=headers or {}, request_id="request-1"),
        begin(),
        streams=streams,
    )


def run(endpoint: Endpoint, body: bytes = b"", headers: dict[str, str] | None = None, **route: Any) -> HttpResponse:
    return exchange(endpoint, headers, **route).run(body)


def echo(request: Request) -> Response:
    return Response(request.body, "text/plain")


def failing(error: BaseException) -> Endpoint:
    def endpoint(_: Request) -> Response:
        raise error

    return endpoint


def streaming(*pieces: bytes, error: BaseException | None = None, usage: Usage | None = None) -> Endpoint:
    def endpoint(_: Request) -> Response:
        def produce() -> Iterator[bytes]:
            for piece in pieces:
                yield piece
                if usage:
                    usage.output_tokens += 1
            if error:
                raise error

        return Response(produce(), "text/event-stream", usage=usage)

    return endpoint


# Bodies


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), (" GZIP ", gzip.compress)],
)
def test_a_compressed_body_is_decompressed(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    data = b"hello " * 100
    response = run(echo, compress(data), {"content-encoding": encoding})
    assert (response.status, response.body) == (200, data)


@pytest.mark.parametrize("encoding", ["identity", "", " Identity"])
def test_a_plain_body_is_passed_on(encoding: str) -> None:
    assert run(echo, b"x", {"content-encoding": encoding}).body == b"x"
    assert run(echo, b"").body == b""


@pytest.mark.parametrize(
    ("body", "encoding", "status", "message"),
    [
        (b"x", "br", 400, "not supported; send gzip, deflate or the plain body"),
        (b"not gzip", "gzip", 400, "The body is not valid gzip"),
        (gzip.compress(b"x" * 50, mtime=0)[:-4], "gzip", 400, "The gzip body is incomplete"),
        (b"x" * 1001, "", 413, "longer than 1000 bytes; upload a larger input with POST /uploads"),
        (gzip.compress(bytes(1001), mtime=0), "gzip", 413, "longer than 1000 bytes"),
        (gzip.compress(bytes(10**8), mtime=0), "gzip", 413, "longer than 1000 bytes"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(body: bytes, encoding: str, status: int, message: str) -> None:
    response = run(echo, body, {"content-encoding": encoding})
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert message in json.loads(response.body)["error"]


def test_a_body_of_the_largest_size_is_read_in_any_pieces() -> None:
    for compress, encoding in ((bytes, "identity"), (gzip.compress, "gzip")):
        data = bytes(range(250)) * 4
        reader = BodyReader({"content-encoding": encoding})
        raw = compress(data)
        for start in range(0, len(raw), 7):
            reader.feed(raw[start : start + 7])
        assert reader.finish() == data
    reader = BodyReader({})
    reader.feed(bytes(600))
    with pytest.raises(PayloadTooLarge):
        reader.feed(bytes(401))
    assert BodyReader({"content-encoding": "gzip"}).finish() == b""


def test_a_bomb_is_not_decompressed_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = []
    decompressobj = zlib.decompressobj

    class Counting:
        def __init__(self, bits: int) -> None:
            self._inner = decompressobj(bits)

        def decompress(self, data: bytes, limit: int) -> bytes:
            output = self._inner.decompress(data, limit)
            lengths.append(len(output))
            return output

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    monkeypatch.setattr(pipeline.zlib, "decompressobj", Counting)
    reader = BodyReader({"content-encoding": "gzip"})
    with pytest.raises(PayloadTooLarge):
        reader.feed(gzip.compress(bytes(10**7)))
    assert lengths == [1001]


# Responses


def test_a_response_has_its_headers_and_one_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    usage = Usage(items=2, input_tokens=7)
    response = run(lambda _: Response(b"{}", headers={"X-Own": "1", "Content-Type": "x/y"}, status=201, usage=usage))
    assert (response.status, response.body) == (201, b"{}")
    assert response.headers.pop("server-timing").startswith("total;dur=")
    assert response.headers == {"content-type": "x/y", "x-request-id": "request-1", "x-own": "1"}
    (line,) = log_lines(capsys)
    assert (line["request_id"], line["status"], line["trigger"]) == ("request-1", 201, "http")
    assert (line["items"], line["input_tokens"]) == (2, 7)
    assert "error" not in line


@pytest.mark.parametrize(
    ("media_type", "content_type"),
    [
        ("application/json", "application/json"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("text/csv; charset=latin-1", "text/csv; charset=latin-1"),
        ("image/png", "image/png"),
    ],
)
def test_texts_have_a_charset(media_type: str, content_type: str) -> None:
    assert run(lambda _: Response(b"x", media_type)).headers["content-type"] == content_type


def test_the_model_that_answered_is_named_and_released(serving: Path) -> None:
    def endpoint(request: Request) -> Response:
        request.open_model("sentiment-en")
        return Response(b"{}")

    used = exchange(endpoint)
    response = used.run(b"")
    assert response.headers["x-hearth-model"] == "sentiment-en@1"
    assert used.request.lease is None
    assert all(slot.users == 0 for slot in warm_cache()._slots.values())


def test_a_model_is_released_after_an_error(serving: Path) -> None:
    def endpoint(request: Request) -> Response:
        request.open_model("sentiment-en")
        raise NotFound("x")

    assert run(endpoint).status == 404
    assert all(slot.users == 0 for slot in warm_cache()._slots.values())


# Errors


def test_an_error_is_a_response_and_a_log_line(capsys: pytest.CaptureFixture[str]) -> None:
    response = run(failing(NotFound("There is no such thing")))
    assert response.status == 404
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "error": "There is no such thing",
        "error_type": "not_found",
        "request_id": "request-1",
    }
    (line,) = log_lines(capsys)
    assert (line["status"], line["error"]) == (404, "not_found")
    assert "reason" not in line


def test_an_unexpected_error_is_internal_and_a_panic_too(capsys: pytest.CaptureFixture[str]) -> None:
    class Panic(BaseException):
        pass

    for error in (ValueError("secret"), Panic("secret")):
        response = run(failing(error))
        assert response.status == 500
        assert b"secret" not in response.body  # type: ignore[operator]
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_the_end_of_the_process_is_not_caught(end: type[BaseException]) -> None:
    with pytest.raises(end):
        run(failing(end()))
    stream = run(streaming(b"1", error=end())).body
    assert isinstance(stream, StreamedBody)
    assert next(stream) == b"1"
    with pytest.raises(end):
        next(stream)


def test_errors_have_their_headers() -> None:
    def response(error: HearthError, **headers: str) -> HttpResponse:
        return error_response(HUGGING_FACE, error, Timing(), "r", headers)

    assert response(TooManyRequests("x", retry_after=7)).headers["retry-after"] == "7"
    assert response(TooManyRequests("x", retry_after=0)).headers["retry-after"] == "0"
    assert response(Unavailable("x")).headers["retry-after"] == "1"
    assert "retry-after" not in response(BadRequest("x")).headers
    unauthorized = response(Unauthorized("x"), Allow="GET").headers
    assert unauthorized["www-authenticate"] == "Bearer"
    assert (unauthorized["allow"], unauthorized["x-request-id"]) == ("GET", "r")
    assert unauthorized["content-type"] == "application/json"
    assert "server-timing" in unauthorized
    assert "www-authenticate" not in response(BadRequest("x")).headers


def test_a_protocol_adds_its_own_error_headers() -> None:
    protocol = msgspec.structs.replace(HUGGING_FACE, error_headers=lambda error: {"X-Code": error.code})
    assert isinstance(protocol, Protocol)
    assert error_response(protocol, BadRequest("x"), Timing(), "r").headers["x-code"] == "bad_request"


def test_a_caller_without_a_key_is_refused_before_the_endpoint_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [{"name": "alice", "sha256": "0" * 64, "models": ["*"]}]
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(keys))
    settings.get.cache_clear()
    assert run(failing(AssertionError("it ran"))).status == 401
    assert run(lambda _: Response(b"{}"), public=True).status == 200


def test_the_tenant_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"requestContext": {"identity": {"apiKeyId": "k"}}}
    tenant = msgspec.structs.replace(exchange(echo), event=event)
    assert tenant.run(b"").status == 200
    assert log_lines(capsys)[0]["tenant"] == api_keys.tenant_hash("key:k")
    assert run(echo).status == 200
    assert "tenant" not in log_lines(capsys)[0]


def test_an_audit_record_that_cannot_be_written_refuses_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pipeline.audit, "record", full)
    for endpoint in (echo, streaming(b"1")):
        response = run(endpoint)
        assert response.status == 503
        assert b"audit log cannot be written" in response.body  # type: ignore[operator]


# Streams


def events_of(response: HttpResponse) -> list[bytes]:
    assert isinstance(response.body, StreamedBody)
    return list(response.body)


def test_a_stream_is_logged_once_at_its_end_with_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    response = run(streaming(b"1", b"2", usage=Usage(items=1)))
    assert response.status == 200
    assert response.headers["x-hearth-stream"] == "streamed"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert log_lines(capsys) == []
    pieces = events_of(response)
    assert pieces[:2] == [b"1", b"2"]
    assert pieces[2].startswith(b": server-timing total;dur=")
    assert pieces[2].endswith(b"\n\n")
    assert len(pieces) == 3
    (line,) = log_lines(capsys)
    assert (line["status"], line["output_tokens"], line["request_id"]) == (200, 2, "request-1")
    assert "client_gone" not in line
    response.body.close()  # type: ignore[union-attr]
    assert log_lines(capsys) == []


def test_an_error_before_the_first_piece_has_its_own_status() -> None:
    response = run(streaming(error=NotFound("gone")))
    assert (response.status, isinstance(response.body, bytes)) == (404, True)


def test_an_error_in_a_stream_is_its_last_event_and_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    pieces = events_of(run(streaming(b"1", error=Unavailable("no memory"))))
    assert pieces[0] == b"1"
    assert pieces[1].startswith(b"data: {")
    assert json.loads(pieces[1].removeprefix(b"data: "))["error"] == "no memory"
    assert pieces[2].startswith(b": server-timing ")
    (line,) = log_lines(capsys)
    assert (line["status"], line["error"], line["reason"]) == (503, "unavailable", "no memory")


def test_a_panic_in_a_stream_is_an_internal_error(capsys: pytest.CaptureFixture[str]) -> None:
    class Panic(BaseException):
        pass

    pieces = events_of(run(streaming(b"1", error=Panic("secret"))))
    assert b"internal" in pieces[1]
    assert b"secret" not in b"".join(pieces)
    assert log_lines(capsys)[-1]["status"] == 500


def test_a_stream_where_none_is_possible_is_collected(capsys: pytest.CaptureFixture[str]) -> None:
    response = exchange(streaming(b"1", b"2"), streams=False).run(b"")
    assert isinstance(response.body, bytes)
    assert response.body.startswith(b"12: server-timing ")
    assert response.headers["x-hearth-stream"] == "buffered"
    assert len(log_lines(capsys)) == 1


@pytest.mark.parametrize("read", [0, 1, 2])
def test_a_client_that_goes_is_logged_and_the_work_ends(read: int, capsys: pytest.CaptureFixture[str]) -> None:
    closed = []

    def endpoint(_: Request) -> Response:
        def produce() -> Iterator[bytes]:
            try:
                for number in range(5):
                    yield b"%d" % number
            finally:
                closed.append(True)

        return Response(produce(), "text/event-stream")

    body = run(endpoint).body
    assert isinstance(body, StreamedBody)
    assert [next(body) for _ in range(read)] == [b"0", b"1"][:read]
    body.close()
    body.close()
    (line,) = log_lines(capsys)
    assert (line["status"], line["client_gone"]) == (200, True)
    assert list(body) == []
    if read > 1:
        assert closed == [True]


def test_a_client_that_goes_while_a_piece_is_produced_is_logged_by_the_producer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`close` does not wait for the piece, and the piece is not sent."""
    producing, may_go = threading.Event(), threading.Event()

    def endpoint(_: Request) -> Response:
        def produce() -> Iterator[bytes]:
            yield b"1"
            producing.set()
            may_go.wait(5)
            yield b"2"

        return Response(produce(), "text/event-stream")

    body = run(endpoint).body
    assert isinstance(body, StreamedBody)
    pieces: list[bytes] = []
    thread = threading.Thread(target=lambda: pieces.extend(body))
    thread.start()
    assert producing.wait(5)
    body.close()
    assert log_lines(capsys) == []
    may_go.set()
    thread.join(5)
    assert pieces == [b"1"]
    (line,) = log_lines(capsys)
    assert line["client_gone"] is True


def test_pieces_without_a_close_method_are_ended_too() -> None:
    ended: list[Any] = []
    body = StreamedBody(iter([b"1"]), Timing(), lambda _: b"", lambda *arguments: ended.append(arguments), None)
    assert next(body) == b"1"
    body.close()
    assert ended == [(200, None, None)]
