"""The client of the Runtime API: invocations, responses and errors, against a scripted server."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from hearth.aws_lambda.runtime_api import (
    ClientDisconnected,
    Context,
    Invocation,
    RuntimeApi,
    RuntimeApiError,
    describe_error,
)
from tests.support.servers import scripted_server

EVENT = Invocation({"lambda-runtime-aws-request-id": "r1"}, b"{}")


def response(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def api(*responses: Sequence[bytes], until: bytes = b"") -> Iterator[tuple[RuntimeApi, list[bytes]]]:
    with scripted_server(*responses, until=until) as (address, received):
        client = RuntimeApi(address.removeprefix("http://"))
        yield client, received
        client._connection.close()


def test_an_invocation_has_its_context() -> None:
    headers = {
        "lambda-runtime-aws-request-id": "r1",
        "lambda-runtime-invoked-function-arn": "arn",
        "lambda-runtime-deadline-ms": "1700000000123",
        "lambda-runtime-aws-tenant-id": "t",
        "lambda-runtime-client-context": '{"a": 1}',
        "lambda-runtime-cognito-identity": '{"b": 2}',
        "lambda-runtime-trace-id": "trace",
        "lambda-runtime-invocation-id": "i",
    }
    invocation = Invocation(headers, b"")
    context = invocation.context
    assert (context.aws_request_id, context.invoked_function_arn, context.tenant_id) == ("r1", "arn", "t")
    assert (context.deadline_ms, context.client_context, context.identity) == (1700000000123, {"a": 1}, {"b": 2})
    assert (invocation.id, invocation.trace_id) == ("r1", "trace")
    assert invocation.echo == {"lambda-runtime-invocation-id": "i"}
    assert (EVENT.trace_id, EVENT.echo) == ("", {})
    plain = EVENT.context
    assert (plain.invoked_function_arn, plain.deadline_ms, plain.tenant_id) == ("", 0, None)
    assert (plain.client_context, plain.identity) == (None, None)


def test_a_context_has_the_functions_variables_and_its_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE", "LOG_GROUP_NAME", "LOG_STREAM_NAME")
    for name in names:
        monkeypatch.setenv(f"AWS_LAMBDA_{name}", name.lower())
    context = Context("r1", deadline_ms=101_500)
    assert context.function_name == "function_name"
    assert context.function_version == "function_version"
    assert context.memory_limit_in_mb == "function_memory_size"
    assert (context.log_group_name, context.log_stream_name) == ("log_group_name", "log_stream_name")
    monkeypatch.setattr(time, "time", lambda: 100.0)
    assert context.get_remaining_time_in_millis() == 1500
    monkeypatch.setattr(time, "time", lambda: 102.0)
    assert context.get_remaining_time_in_millis() == 0


def fail() -> None:
    raise ValueError("wrong")


def test_an_error_is_described_as_lambda_does() -> None:
    with pytest.raises(ValueError, match="wrong") as raised:
        fail()
    described = describe_error(raised.value, request_id="r1")
    assert describe_error(raised.value, "Runtime.Kind")["errorType"] == "Runtime.Kind"
    assert (described["errorMessage"], described["errorType"], described["requestId"]) == ("wrong", "ValueError", "r1")
    assert "test_runtime_api" in described["stackTrace"][0]


def test_the_next_invocation_is_waited_for_and_a_closed_connection_replaced() -> None:
    event = response(200, b'{"x": 1}', "Lambda-Runtime-Aws-Request-Id: r2")
    with api([b""], [event]) as (client, received):
        invocation = client.next()
    assert (invocation.id, invocation.body) == ("r2", b'{"x": 1}')
    assert received[1].startswith(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n")
    with (
        api([response(500, b"broken")]) as (client, _),
        pytest.raises(RuntimeApiError, match="returned 500: b'broken'"),
    ):
        client.next()


def test_a_response_and_an_error_are_posted() -> None:
    echo = Invocation({**EVENT.headers, "lambda-runtime-invocation-id": "i"}, b"")
    with api([response(202)], [response(202)], [response(202)]) as (client, received):
        client.respond(echo, b'{"a": 1}')
        client.fail(echo, {"errorMessage": "m", "errorType": "T", "requestId": "r1"})
        client.fail_init({"errorMessage": "m", "errorType": "I"})
    assert received[0].startswith(b"POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\n")
    assert b"lambda-runtime-invocation-id: i\r\n" in received[0]
    assert b"Content-Type: application/json\r\n" in received[0]
    assert received[0].endswith(b'{"a": 1}')
    assert received[1].startswith(b"POST /2018-06-01/runtime/invocation/r1/error HTTP/1.1\r\n")
    assert b"Lambda-Runtime-Function-Error-Type: T\r\n" in received[1]
    assert b'"exceptions": [{"type": "T", "message": "m", "stack": []}]' in received[1]
    assert received[2].startswith(b"POST /2018-06-01/runtime/init/error HTTP/1.1\r\n")


def test_a_refused_response_is_logged_and_a_broken_api_ends_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    with api([response(413, b"too large")]) as (client, _):
        client.respond(EVENT, b"{}")
    line = json.loads(capsys.readouterr().out)
    assert (line["level"], line["message"]) == ("ERROR", "/invocation/r1/response: 413")
    assert line["answer"] == "too large"
    with api([response(500)]) as (client, _), pytest.raises(RuntimeApiError, match="returned 500"):
        client.respond(EVENT, b"{}")


def test_a_stream_is_chunked_with_its_trailers() -> None:
    with api([response(202)], until=b"0\r\n\r\n") as (client, received):
        stream = client.stream(EVENT)
        assert not stream.began
        stream.write(b"")
        assert not stream.began
        stream.write(b"one")
        stream.end(b"two")
        assert stream.ended
        with pytest.raises(ClientDisconnected, match="has ended"):
            stream.write(b"three")
    head, _, body = received[0].partition(b"\r\n\r\n")
    assert b"Lambda-Runtime-Function-Response-Mode: streaming" in head
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_a_client_that_is_gone_ends_the_stream() -> None:
    with api([response(410)]) as (client, _):
        stream = client.stream(EVENT)
        stream.write(b"one")
        time.sleep(0.1)
        with pytest.raises(ClientDisconnected, match="returned 410 before the end"):
            stream.write(b"two")
        assert stream.ended
        assert stream.disconnected
    with api([response(413)]) as (client, _), pytest.raises(ClientDisconnected):
        client.stream(EVENT).end(b"all")


def test_an_aborted_stream_has_its_error_in_the_trailers() -> None:
    sent: list[bytes] = []
    with api([response(202)]) as (client, _):
        stream = client.stream(EVENT)
        stream.write(b"one")
        stream._send = sent.append  # type: ignore[method-assign]
        stream.abort({"errorType": "T", "errorMessage": "m"})
    encoded = base64.b64encode(b'{"errorType": "T", "errorMessage": "m"}')
    assert sent == [
        b"0\r\nLambda-Runtime-Function-Error-Type: T\r\nLambda-Runtime-Function-Error-Body: " + encoded + b"\r\n\r\n"
    ]
