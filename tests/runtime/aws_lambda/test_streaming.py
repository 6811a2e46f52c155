"""The streaming runtime, byte by byte, against the Runtime API of tests/support/runtime_api.py."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth import __version__
from tests.events import event
from tests.support import ROOT
from tests.support.runtime_api import ERROR, INIT_ERROR, NEXT, REQUEST_ID, RESPONSE, Head, RuntimeApi

CODE = ROOT / "tests/lambda/streaming"
TRIGGERS = ("rest-v1", "function-url")
NO_CONTENT = {"statusCode": 204, "headers": {"content-type": "text/plain"}}
TEXT_MODEL = "sentiment-en"
pytestmark = pytest.mark.slow
HANDLER_CODE = "from hearth.aws_lambda.handler import create_handler\nhandler = create_handler(())"


def read_if_exists(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def becomes_true(condition: Callable[[], Any], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(scope="session", autouse=True)
def _python(python_of_lambda: Path) -> None:
    """The runtime is run by Lambda's Python."""


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def running(api: RuntimeApi, tmp_path: Path) -> Iterator[RuntimeApi]:
    """A Runtime API with the app of these tests behind it."""
    with api.runtime(CODE, {"SCRATCH": str(tmp_path)}):
        yield api


def request(path: str, trigger: str = "function-url", **values: Any) -> dict[str, Any]:
    return event(trigger, path=path, **values)


def broken_response(api: RuntimeApi, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """The chunks and trailers of a response that breaks off."""
    api.offer(request(path))
    api.streaming_head()
    chunks = list(iter(api.chunk, b""))
    trailers = api.trailers()
    api.accept()
    return chunks, trailers


def test_the_request_for_an_event_has_the_expected_headers(running: RuntimeApi) -> None:
    head = running.offer({"context": []})
    fields = [("Host", running.address), ("Accept-Encoding", "identity"), ("User-Agent", f"hearth/{__version__}")]
    assert head == Head(NEXT, fields)


def test_a_response_is_prelude_zero_bytes_and_body(running: RuntimeApi) -> None:
    running.offer(request("/binary"))
    running.streaming_head()
    prelude = b'{"statusCode": 200, "headers": {"content-type": "image/png"}}'
    assert running.chunk() == prelude + bytes(8) + bytes(range(256)) * 2
    assert running.chunk() == b""
    assert running.trailers() == []
    running.accept()
    assert running.request()[0].line == NEXT
    assert running.connections == 2, "AWS requires that the connection be closed after a stream"


def test_buffered_responses_share_a_connection(running: RuntimeApi) -> None:
    for _ in range(3):
        running.whole({"context": []})
    assert running.connections == 1


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_chunk_arrives_before_the_next_is_generated(running: RuntimeApi, tmp_path: Path, trigger: str) -> None:
    os.mkfifo(tmp_path / "gate")
    running.offer(request("/pieces", trigger))
    with (tmp_path / "gate").open("wb", buffering=0) as gate:
        for number, letter in enumerate(b"stream"):
            gate.write(bytes([letter]))
            if not number:
                running.streaming_head()
            chunk = running.chunk()  # blocks if chunks are held back
            assert chunk.endswith(b"data: %c\n\n" % letter)
            assert (bytes(8) in chunk) == (number == 0)
            assert running.buffer == b""
    assert running.chunk() == b""
    assert running.trailers() == []


def test_the_prelude_is_sent_before_the_first_byte_and_empty_chunks_do_not_end_the_response(
    running: RuntimeApi,
) -> None:
    running.offer(request("/early"))
    running.streaming_head()
    assert running.chunk() == b'{"statusCode": 200, "headers": {}}' + bytes(8)
    assert running.chunk() == b"x"
    assert running.chunk() == b""


def test_a_response_without_body_has_the_delimiter(running: RuntimeApi) -> None:
    assert running.streamed(request("/no-content")) == (NO_CONTENT, b"")
    assert running.streamed(request("/nothing")) == ({"statusCode": 200, "headers": {}}, b"")


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_headers_are_sent_without_the_length(running: RuntimeApi, trigger: str) -> None:
    prelude, body = running.streamed(request("/headers", trigger))
    assert prelude == {"statusCode": 418, "headers": {"x-one": "caf\xe9"}}
    assert body.decode() == "große Kanne"


@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("raw", [b'{"inputs": "caf\xc3\xa9"}', bytes(range(256)), b""], ids=["text", "binary", "none"])
def test_a_request_arrives_as_it_was_sent(running: RuntimeApi, trigger: str, raw: bytes) -> None:
    body, is_base64 = (raw.decode(), False) if raw[:1] == b"{" else (base64.b64encode(raw).decode(), True)
    prelude, content = running.streamed(
        request("/echo/a%20b", trigger, body=body, is_base64=is_base64, content_type="x/y")
    )
    echo = json.loads(content)
    assert prelude["statusCode"] == 200
    assert bytes(echo["body"]) == raw
    assert (echo["method"], echo["path"]) == ("POST", "/echo/a b")
    assert echo["headers"]["content-type"] == "x/y"
    assert echo["streams"] is True
    assert echo["request_id"] == REQUEST_ID
    assert echo["arn"].endswith(":function:streaming")
    assert 0 < echo["remaining"] <= 30_000
    assert echo["trace"].startswith("Root=1-5bef4de7")


def test_a_slow_reader_slows_the_writer(running: RuntimeApi, tmp_path: Path) -> None:
    running.offer(request("/flood"))
    running.streaming_head()
    running.chunk()

    def generated() -> int:
        return int(read_if_exists(tmp_path / "made") or 0)

    assert becomes_true(generated)
    stopped = -1
    while stopped != generated():  # until the generation stops
        stopped = generated()
        time.sleep(0.5)
    assert 0 < stopped * 65536 < 16 * 2**20, "the generation exceeded the socket buffers"
    for _ in range(stopped + 5):
        assert running.chunk() == bytes(65536)
    assert becomes_true(lambda: generated() > stopped)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_disconnected_reader_ends_the_generation(running: RuntimeApi, tmp_path: Path, reset: bool) -> None:
    running.offer(request("/flood"))
    running.streaming_head()
    running.chunk()
    running.drop(reset=reset)
    assert running.streamed(request("/no-content"))[0] == NO_CONTENT
    assert int(read_if_exists(tmp_path / "closed")) < 1000
    assert running.connections == 2


def test_an_early_refusal_ends_the_generation(running: RuntimeApi, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    running.offer(request("/pieces"))
    with (tmp_path / "gate").open("wb", buffering=0) as gate:
        gate.write(b"a")
        running.streaming_head()
        running.chunk()
        running.send("413 Payload Too Large", b"{}")
        gate.write(b"b")
        assert running.streamed(request("/no-content"))[0] == NO_CONTENT


def test_an_error_before_the_first_byte_is_a_response(running: RuntimeApi) -> None:
    for path in ("/before", "/first"):
        prelude, body = running.streamed(request(path))
        assert prelude == {"statusCode": 500, "headers": {"content-type": "application/json"}}
        assert json.loads(body)["error_type"] == "internal"
        assert b"secret" not in body


def test_an_error_after_the_first_byte_is_in_the_trailers(running: RuntimeApi) -> None:
    for path, kind in (("/after", "LookupError"), ("/late-panic", "Panic")):
        chunks, trailers = broken_response(running, path)
        assert chunks == [b'{"statusCode": 200, "headers": {}}' + bytes(8) + b"half"]
        assert [name for name, _ in trailers] == [
            "Lambda-Runtime-Function-Error-Type",
            "Lambda-Runtime-Function-Error-Body",
        ]
        assert trailers[0][1] == kind
        error = json.loads(base64.b64decode(trailers[1][1], validate=True))
        assert error["errorType"] == kind
        assert error["requestId"] == REQUEST_ID
        assert "secret" not in json.dumps(error)
    assert running.streamed(request("/no-content"))[0] == NO_CONTENT


def test_a_panic_does_not_end_the_runtime(running: RuntimeApi) -> None:
    prelude, body = running.streamed(request("/panic"))
    assert (prelude["statusCode"], json.loads(body)["error_type"]) == (500, "internal")
    chunks, trailers = broken_response(running, "/late-panic")
    assert chunks == [b'{"statusCode": 200, "headers": {}}' + bytes(8) + b"half"]
    assert trailers[0][1] == "Panic"
    assert "secret" not in base64.b64decode(trailers[1][1], validate=True).decode()
    running.offer({"panic": "lost"})
    assert running.request()[0].line == ERROR
    running.accept()
    assert running.streamed(request("/no-content"))[0] == NO_CONTENT


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_body_that_is_not_base64_is_400(running: RuntimeApi, trigger: str) -> None:
    prelude, body = running.streamed(request("/echo", trigger, body="not base64!", is_base64=True))
    assert prelude["statusCode"] == 400
    assert "base64" in json.loads(body)["error"]


def test_a_malformed_http_event_gets_a_response(running: RuntimeApi) -> None:
    broken = request("/echo") | {"headers": ["no", "map"]}
    assert running.streamed(broken)[0]["statusCode"] in (400, 500)
    assert running.streamed(request("/no-content"))[0] == NO_CONTENT


@pytest.mark.parametrize("name", ["alb", "alb-multi-value", "http-v2"])
def test_triggers_that_cannot_stream_get_buffered_responses(running: RuntimeApi, name: str) -> None:
    response = json.loads(running.whole(event(name, path="/echo")))
    assert response["statusCode"] == 200
    assert json.loads(response["body"])["streams"] is False


@pytest.mark.parametrize(
    ("configured", "trigger"), [("", "rest-v1"), ("", "function-url"), ("url", "rest-v1"), ("rest", "function-url")]
)
def test_triggers_that_are_not_configured_get_buffered_responses(
    api: RuntimeApi, configured: str, trigger: str
) -> None:
    with api.runtime(CODE, {"HEARTH_STREAM": configured}):
        assert json.loads(api.whole(request("/echo", trigger)))["statusCode"] == 200


def test_sam_local_gets_buffered_responses(api: RuntimeApi) -> None:
    with api.runtime(CODE, {"AWS_SAM_LOCAL": "true"}):
        assert json.loads(api.whole(request("/echo", "rest-v1")))["statusCode"] == 200


INVALID_EVENTS: list[Any] = [
    None,
    [],
    "text",
    1,
    {},
    {"httpMethod": 1, "resource": None, "requestContext": {}},
    {"requestContext": {"http": None, "domainName": ".lambda-url."}},
    {"requestContext": {"http": {}, "domainName": 7}},
    {"requestContext": [], "httpMethod": "GET"},
    {"Records": 7},
]


def test_invalid_events_get_a_response_and_the_runtime_continues(running: RuntimeApi) -> None:
    for invalid in INVALID_EVENTS:
        running.offer(invalid)
        head = running.head()
        if dict(head.headers).get("Transfer-Encoding"):
            content = b"".join(iter(running.chunk, b"")).split(bytes(8))[0]
            running.trailers()
        else:
            content = running.read_exactly(int(head["Content-Length"]))
        running.accept()
        assert head.line == RESPONSE, invalid
        assert "error" in json.loads(content) or json.loads(content)["statusCode"] >= 400, invalid


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"", b"[" * 200_000])
def test_an_event_that_is_not_json_is_a_failed_invocation(running: RuntimeApi, raw: bytes) -> None:
    running.offer(raw)
    head, body = running.request()
    assert head.line == ERROR
    assert head["Lambda-Runtime-Function-Error-Type"] == "Runtime.UnmarshalError"
    assert json.loads(body)["errorType"] == "Runtime.UnmarshalError"
    running.accept()
    assert running.request()[0].line == NEXT


def test_a_handler_that_raises_is_a_failed_invocation(running: RuntimeApi) -> None:
    for raising in ({"raise": "lost"}, {"answer": "NaN"}):
        running.offer(raising)
        head, body = running.request()
        running.accept()
        error = json.loads(body)
        assert head.line == ERROR
        assert head["Lambda-Runtime-Function-Error-Type"] == error["errorType"] in ("LookupError", "TypeError")
        cause = json.loads(head["Lambda-Runtime-Function-XRay-Error-Cause"])
        assert cause["exceptions"][0]["type"] == error["errorType"]
        assert set(error) == {"errorMessage", "errorType", "requestId", "stackTrace"}
        assert error["stackTrace"]


def test_the_context_equals_that_of_the_aws_client(running: RuntimeApi) -> None:
    names = ["aws_request_id", "invoked_function_arn", "function_name", "function_version", "memory_limit_in_mb"]
    names += ["client_context", "identity", "tenant_id"]
    context = json.loads(running.whole({"context": names}, Lambda_Runtime_Client_Context='{"custom": {"a": "b"}}'))
    assert context == {
        "aws_request_id": REQUEST_ID,
        "invoked_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:streaming",
        "function_name": "streaming",
        "function_version": "$LATEST",
        "memory_limit_in_mb": "1769",
        "client_context": {"custom": {"a": "b"}},
        "identity": None,
        "tenant_id": None,
    }


def test_the_invocation_id_is_repeated_if_present(running: RuntimeApi) -> None:
    running.offer(request("/no-content"), Lambda_Runtime_Invocation_Id="one")
    assert running.head()["Lambda-Runtime-Invocation-Id"] == "one"


def test_an_event_without_trace_clears_the_previous_one(running: RuntimeApi) -> None:
    running.streamed(request("/echo"))
    _, content = running.streamed(request("/echo"), Lambda_Runtime_Trace_Id="")
    assert json.loads(content)["trace"] is None


def test_no_response_imports_a_web_framework(running: RuntimeApi) -> None:
    frameworks = ["fastapi", "starlette", "mangum", "anyio", "asyncio", "awslambdaric", "boto3"]
    running.streamed(request("/no-content"))
    assert json.loads(running.whole({"modules": frameworks})) == []


def test_a_connection_that_was_closed_while_frozen_is_reopened(running: RuntimeApi) -> None:
    running.streamed(request("/no-content"))
    assert running.request()[0].line == NEXT
    running.drop()
    assert running.streamed(request("/no-content"))[0] == NO_CONTENT


def test_a_broken_runtime_api_ends_the_runtime(api: RuntimeApi, tmp_path: Path) -> None:
    with api.runtime(CODE, {"SCRATCH": str(tmp_path)}) as process:
        api.request()
        api.send("500 Internal Server Error", b"broken")
        assert process.wait(20) != 0


def test_a_snapshot_is_taken_before_the_first_event(api: RuntimeApi, tmp_path: Path) -> None:
    environment = {"SCRATCH": str(tmp_path), "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    with api.runtime(CODE, environment):
        head, body = api.request()
        assert (head.line, body) == ("GET /2018-06-01/runtime/restore/next HTTP/1.1", b"")
        api.drop(reset=True)  # a restored environment has none of the snapshot's connections
        assert api.whole({"context": []})


def test_a_snapshot_that_is_refused_ends_the_runtime(api: RuntimeApi, tmp_path: Path) -> None:
    environment = {"SCRATCH": str(tmp_path), "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
    with api.runtime(CODE, environment) as process:
        api.request()
        api.send("500 Internal Server Error", b"broken")
        assert process.wait(20) != 0


@pytest.mark.parametrize(
    ("code", "environment", "kind"),
    [
        ("import nothing_of_this_name", {}, "Runtime.ImportModuleError"),
        ("1 / 0", {}, "ZeroDivisionError"),
        ("", {}, "AttributeError"),
        ("def handler(event, context): ...", {}, "TypeError"),
        (HANDLER_CODE, {"HEARTH_STREAM": "alb"}, "SettingsError"),
    ],
)
def test_a_function_that_cannot_start_reports_the_error(
    api: RuntimeApi, tmp_path: Path, code: str, environment: dict[str, str], kind: str
) -> None:
    (tmp_path / "app.py").write_text(code)
    with api.runtime(tmp_path, environment) as process:
        head, body = api.request()
        api.accept()
        assert head.line == INIT_ERROR
        assert head["Lambda-Runtime-Function-Error-Type"] == kind
        assert json.loads(body)["errorType"] == kind
        assert process.wait(20) == 1
        assert process.stdout
        assert kind in process.stdout.read().decode()
