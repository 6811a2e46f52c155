"""The runtime that streams, byte by byte against a Runtime API of the test's own, and under Lambda's emulator."""

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
from tests.support.runtime_api import ERROR, INIT_ERROR, NEXT, REQUEST_ID, RESPONSE, Head, RuntimeApi

CODE = Path(__file__).with_name("streaming")
DOORS = ("rest-v1", "function-url")
NO_CONTENT = {"statusCode": 204, "headers": {"content-type": "text/plain"}}
TEXT_MODEL = "sentiment-en"
OURS = "from hearth.aws_lambda.handler import create_handler\nhandler = create_handler(())"


def told(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def soon(condition: Callable[[], Any], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def api() -> Iterator[RuntimeApi]:
    with RuntimeApi() as api:
        yield api


@pytest.fixture
def running(api: RuntimeApi, tmp_path: Path) -> Iterator[RuntimeApi]:
    """With the app of this test's own behind it."""
    with api.runtime(CODE, {"SCRATCH": str(tmp_path)}):
        yield api


def ask(path: str, door: str = "function-url", **values: Any) -> dict[str, Any]:
    return event(door, path=path, **values)


def refused(api: RuntimeApi, path: str) -> tuple[Any, list[tuple[str, str]]]:
    """The parts and the trailers of an answer that breaks off."""
    api.offer(ask(path))
    api.streaming_head()
    parts = list(iter(api.chunk, b""))
    trailers = api.trailers()
    api.accept()
    return parts, trailers


def test_the_request_for_an_event_is_as_the_runtime_api_wants_it(running: RuntimeApi) -> None:
    head = running.offer({"context": []})
    fields = [("Host", running.address), ("Accept-Encoding", "identity"), ("User-Agent", f"hearth/{__version__}")]
    assert head == Head(NEXT, fields)


def test_an_answer_is_prelude_zero_bytes_and_body(running: RuntimeApi) -> None:
    running.offer(ask("/binary"))
    running.streaming_head()
    form = b'{"statusCode": 200, "headers": {"content-type": "image/png"}}'
    assert running.chunk() == form + bytes(8) + bytes(range(256)) * 2
    assert running.chunk() == b""
    assert running.trailers() == []
    running.accept()
    assert running.request()[0].line == NEXT
    assert running.connections == 2, "AWS asks that the connection be closed after a stream"


def test_a_connection_lasts_from_whole_answer_to_whole_answer(running: RuntimeApi) -> None:
    for _ in range(3):
        running.whole({"context": []})
    assert running.connections == 1


@pytest.mark.parametrize("door", DOORS)
def test_a_piece_arrives_before_the_next_is_made(running: RuntimeApi, tmp_path: Path, door: str) -> None:
    os.mkfifo(tmp_path / "gate")
    running.offer(ask("/pieces", door))
    with (tmp_path / "gate").open("wb", buffering=0) as gate:
        for number, letter in enumerate(b"stream"):
            gate.write(bytes([letter]))
            if not number:
                running.streaming_head()
            arrived = running.chunk()  # waits for ever where pieces are held back
            assert arrived.endswith(b"data: %c\n\n" % letter)
            assert (bytes(8) in arrived) == (number == 0)
            assert running.buffer == b""
    assert running.chunk() == b""
    assert running.trailers() == []


def test_the_head_leaves_before_the_first_byte_and_empty_pieces_do_not_end_the_answer(running: RuntimeApi) -> None:
    running.offer(ask("/early"))
    running.streaming_head()
    assert running.chunk() == b'{"statusCode": 200, "headers": {}}' + bytes(8)
    assert running.chunk() == b"x"
    assert running.chunk() == b""


def test_an_answer_without_body_has_its_delimiter(running: RuntimeApi) -> None:
    assert running.streamed(ask("/no-content")) == (NO_CONTENT, b"")
    assert running.streamed(ask("/nothing")) == ({"statusCode": 200, "headers": {}}, b"")


@pytest.mark.parametrize("door", DOORS)
def test_headers_leave_without_the_length(running: RuntimeApi, door: str) -> None:
    form, body = running.streamed(ask("/headers", door))
    assert form == {"statusCode": 418, "headers": {"x-one": "caf\xe9"}}
    assert body.decode() == "große Kanne"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("raw", [b'{"inputs": "caf\xc3\xa9"}', bytes(range(256)), b""], ids=["text", "binary", "none"])
def test_a_request_arrives_as_it_was_sent(running: RuntimeApi, door: str, raw: bytes) -> None:
    body, coded = (raw.decode(), False) if raw[:1] == b"{" else (base64.b64encode(raw).decode(), True)
    form, answer = running.streamed(ask("/echo/a%20b", door, body=body, is_base64=coded, content_type="x/y"))
    echo = json.loads(answer)
    assert form["statusCode"] == 200
    assert bytes(echo["body"]) == raw
    assert (echo["method"], echo["path"]) == ("POST", "/echo/a b")
    assert echo["headers"]["content-type"] == "x/y"
    assert echo["streams"] is True
    assert echo["request_id"] == REQUEST_ID
    assert echo["arn"].endswith(":function:streaming")
    assert 0 < echo["remaining"] <= 30_000
    assert echo["trace"].startswith("Root=1-5bef4de7")


def test_a_slow_reader_slows_the_writer(running: RuntimeApi, tmp_path: Path) -> None:
    running.offer(ask("/flood"))
    running.streaming_head()
    running.chunk()

    def made() -> int:
        return int(told(tmp_path / "made") or 0)

    assert soon(made)
    stopped = -1
    while stopped != made():  # until nothing more is made
        stopped = made()
        time.sleep(0.5)
    assert 0 < stopped * 65536 < 16 * 2**20, "more was made than sockets hold"
    for _ in range(stopped + 5):
        assert running.chunk() == bytes(65536)
    assert soon(lambda: made() > stopped)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_nobody_left_to_read_ends_the_work(running: RuntimeApi, tmp_path: Path, reset: bool) -> None:
    running.offer(ask("/flood"))
    running.streaming_head()
    running.chunk()
    running.drop(reset=reset)
    assert running.streamed(ask("/no-content"))[0] == NO_CONTENT
    assert int(told(tmp_path / "closed")) < 1000
    assert running.connections == 2


def test_an_early_refusal_ends_the_work(running: RuntimeApi, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    running.offer(ask("/pieces"))
    with (tmp_path / "gate").open("wb", buffering=0) as gate:
        gate.write(b"a")
        running.streaming_head()
        running.chunk()
        running.send("413 Payload Too Large", b"{}")
        gate.write(b"b")
        assert running.streamed(ask("/no-content"))[0] == NO_CONTENT


def test_a_fault_before_the_first_byte_is_an_answer(running: RuntimeApi) -> None:
    for path in ("/before", "/first"):
        form, body = running.streamed(ask(path))
        assert form == {"statusCode": 500, "headers": {"content-type": "application/json"}}
        assert json.loads(body)["error_type"] == "internal"
        assert b"secret" not in body


def test_a_fault_after_the_first_byte_is_in_the_trailers(running: RuntimeApi) -> None:
    for path, kind in (("/after", "LookupError"), ("/late-panic", "Panic")):
        parts, trailers = refused(running, path)
        assert parts == [b'{"statusCode": 200, "headers": {}}' + bytes(8) + b"half"]
        assert [name for name, _ in trailers] == [
            "Lambda-Runtime-Function-Error-Type",
            "Lambda-Runtime-Function-Error-Body",
        ]
        assert trailers[0][1] == kind
        error = json.loads(base64.b64decode(trailers[1][1], validate=True))
        assert error["errorType"] == kind
        assert error["requestId"] == REQUEST_ID
        assert "secret" not in json.dumps(error)
    assert running.streamed(ask("/no-content"))[0] == NO_CONTENT


def test_a_panic_ends_no_runtime(running: RuntimeApi) -> None:
    form, body = running.streamed(ask("/panic"))
    assert (form["statusCode"], json.loads(body)["error_type"]) == (500, "internal")
    parts, trailers = refused(running, "/late-panic")
    assert parts == [b'{"statusCode": 200, "headers": {}}' + bytes(8) + b"half"]
    assert trailers[0][1] == "Panic"
    assert "secret" not in base64.b64decode(trailers[1][1], validate=True).decode()
    running.offer({"panic": "lost"})
    assert running.request()[0].line == ERROR
    running.accept()
    assert running.streamed(ask("/no-content"))[0] == NO_CONTENT


@pytest.mark.parametrize("door", DOORS)
def test_a_body_that_is_no_base64_is_the_callers_fault(running: RuntimeApi, door: str) -> None:
    form, body = running.streamed(ask("/echo", door, body="not base64!", is_base64=True))
    assert form["statusCode"] == 400
    assert "base64" in json.loads(body)["error"]


def test_an_event_that_only_looks_like_one_is_answered(running: RuntimeApi) -> None:
    broken = ask("/echo") | {"headers": ["no", "map"]}
    assert running.streamed(broken)[0]["statusCode"] in (400, 500)
    assert running.streamed(ask("/no-content"))[0] == NO_CONTENT


@pytest.mark.parametrize("name", ["alb", "alb-multi-value", "http-v2"])
def test_what_cannot_stream_is_answered_whole(running: RuntimeApi, name: str) -> None:
    answer = json.loads(running.whole(event(name, path="/echo")))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["streams"] is False


@pytest.mark.parametrize(
    ("named", "door"), [("", "rest-v1"), ("", "function-url"), ("url", "rest-v1"), ("rest", "function-url")]
)
def test_front_doors_that_are_not_named_get_whole_answers(api: RuntimeApi, named: str, door: str) -> None:
    with api.runtime(CODE, {"HEARTH_STREAM": named}):
        assert json.loads(api.whole(ask("/echo", door)))["statusCode"] == 200


def test_sams_local_api_gets_whole_answers(api: RuntimeApi) -> None:
    with api.runtime(CODE, {"AWS_SAM_LOCAL": "true"}):
        assert json.loads(api.whole(ask("/echo", "rest-v1")))["statusCode"] == 200


GARBAGE: list[Any] = [
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


def test_garbage_is_answered_and_the_runtime_goes_on(running: RuntimeApi) -> None:
    for given in GARBAGE:
        running.offer(given)
        head = running.head()
        if dict(head.headers).get("Transfer-Encoding"):
            form = b"".join(iter(running.chunk, b"")).split(bytes(8))[0]
            running.trailers()
        else:
            form = running.read_exactly(int(head["Content-Length"]))
        running.accept()
        assert head.line == RESPONSE, given
        assert "error" in json.loads(form) or json.loads(form)["statusCode"] >= 400, given


@pytest.mark.parametrize("raw", [b"{", b"\xff", b"", b"[" * 200_000])
def test_an_event_that_is_no_json_is_a_failed_invocation(running: RuntimeApi, raw: bytes) -> None:
    running.offer(raw)
    head, body = running.request()
    assert head.line == ERROR
    assert head["Lambda-Runtime-Function-Error-Type"] == "Runtime.UnmarshalError"
    assert json.loads(body)["errorType"] == "Runtime.UnmarshalError"
    running.accept()
    assert running.request()[0].line == NEXT


def test_a_handler_that_raises_is_a_failed_invocation(running: RuntimeApi) -> None:
    for given in ({"raise": "lost"}, {"answer": "NaN"}):
        running.offer(given)
        head, body = running.request()
        running.accept()
        error = json.loads(body)
        assert head.line == ERROR
        assert head["Lambda-Runtime-Function-Error-Type"] == error["errorType"] in ("LookupError", "TypeError")
        cause = json.loads(head["Lambda-Runtime-Function-XRay-Error-Cause"])
        assert cause["exceptions"][0]["type"] == error["errorType"]
        assert set(error) == {"errorMessage", "errorType", "requestId", "stackTrace"}
        assert error["stackTrace"]


def test_the_context_is_that_of_awss_own_client(running: RuntimeApi) -> None:
    names = ["aws_request_id", "invoked_function_arn", "function_name", "function_version", "memory_limit_in_mb"]
    names += ["client_context", "identity", "tenant_id"]
    told = json.loads(running.whole({"context": names}, Lambda_Runtime_Client_Context='{"custom": {"a": "b"}}'))
    assert told == {
        "aws_request_id": REQUEST_ID,
        "invoked_function_arn": "arn:aws:lambda:us-east-1:123456789012:function:streaming",
        "function_name": "streaming",
        "function_version": "$LATEST",
        "memory_limit_in_mb": "1769",
        "client_context": {"custom": {"a": "b"}},
        "identity": None,
        "tenant_id": None,
    }


def test_the_invocation_id_is_repeated_where_there_is_one(running: RuntimeApi) -> None:
    running.offer(ask("/no-content"), Lambda_Runtime_Invocation_Id="one")
    assert running.head()["Lambda-Runtime-Invocation-Id"] == "one"


def test_an_event_without_trace_forgets_the_last_one(running: RuntimeApi) -> None:
    running.streamed(ask("/echo"))
    _, answer = running.streamed(ask("/echo"), Lambda_Runtime_Trace_Id="")
    assert json.loads(answer)["trace"] is None


def test_no_answer_pays_for_a_web_framework(running: RuntimeApi) -> None:
    frameworks = ["fastapi", "starlette", "mangum", "anyio", "asyncio", "awslambdaric", "boto3"]
    running.streamed(ask("/no-content"))
    assert json.loads(running.whole({"modules": frameworks})) == []


def test_a_connection_that_was_closed_while_frozen_is_opened_again(running: RuntimeApi) -> None:
    running.streamed(ask("/no-content"))
    assert running.request()[0].line == NEXT
    running.drop()
    assert running.streamed(ask("/no-content"))[0] == NO_CONTENT


def test_a_broken_runtime_api_ends_the_runtime(api: RuntimeApi, tmp_path: Path) -> None:
    with api.runtime(CODE, {"SCRATCH": str(tmp_path)}) as process:
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
        (
            "from hearth.aws_lambda.handler import create_handler\nhandler = create_handler(())",
            {"HEARTH_STREAM": "alb"},
            "SettingsError",
        ),
    ],
)
def test_a_function_that_cannot_start_says_why(
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
