"""Our functions under the streaming runtime: tokens one by one, and all other responses as under AWS's runtime."""

from __future__ import annotations

import hashlib
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hearth.aws_lambda.streaming import prelude
from hearth_build.cli.audit import check
from tests.events import HERE as EVENTS
from tests.events import event
from tests.support.emulator import Emulator
from tests.support.layers import ROOT, layer, python313, runtime_client
from tests.support.runtime_api import RuntimeApi

GENERATION = ROOT / "functions/text_generation"
MODEL = "gpt-shakespeare"
ZOO = {"HEARTH_STORE": (ROOT / "export/zoo").as_uri(), "HEARTH_MODELS": MODEL, "ORT_DISABLE_TELEMETRY": "1"}
STREAMED = {"HEARTH_STREAM": "rest,url", **ZOO}
TOKENS = 12


def request(trigger: str = "function-url", path: str = f"/models/{MODEL}", **body: Any) -> dict[str, Any]:
    body = body or {"inputs": "ROMEO:", "parameters": {"max_new_tokens": TOKENS, "seed": 1}, "stream": True}
    return event(trigger, path=path, body=json.dumps(body))


def documents(body: bytes) -> list[Any]:
    """The JSON of each server-sent event."""
    events = [block.removeprefix("data:").strip() for block in body.decode().split("\n\n") if block.startswith("data:")]
    return [json.loads(text) for text in events if text != "[DONE]"]


class LogLines:
    """Log lines of a process, read as they are printed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, args=(process.stdout,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            if line.startswith(b"{"):
                self.lines.put(json.loads(line))

    def requests(self, count: int) -> list[dict[str, Any]]:
        """The lines of this many requests."""
        lines = list[dict[str, Any]]()
        while len(lines) < count:
            line = self.lines.get(timeout=60)
            if line.get("message") == "request":
                lines.append(line)
        return lines


@pytest.fixture
def generation(python_of_lambda: Path) -> Iterator[tuple[RuntimeApi, LogLines]]:
    with RuntimeApi() as api, api.runtime(GENERATION, STREAMED) as process:
        yield api, LogLines(process)


@pytest.mark.parametrize("trigger", ["rest-v1", "function-url"])
def test_each_token_is_sent_in_its_own_chunk(generation: tuple[RuntimeApi, LogLines], trigger: str) -> None:
    api, lines = generation
    api.offer(request(trigger))
    api.streaming_head()
    head, _, first = api.chunk().partition(bytes(8))
    chunks = [first, *iter(api.chunk, b"")]
    assert api.trailers() == []
    api.accept()
    headers = json.loads(head)["headers"]
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-hearth-stream"] == "streamed"
    *pieces, timing = chunks
    assert [document["index"] for piece in pieces for document in documents(piece)] == list(range(1, TOKENS + 1))
    assert all(len(documents(piece)) <= 1 for piece in pieces)
    assert timing.startswith(b": server-timing ")
    assert b"first;dur=" in timing
    assert b"gap;dur=" in timing
    api.request()  # the next event is requested only after the log line is written
    (line,) = lines.requests(1)
    assert line["status"] == 200
    assert line["output_tokens"] == TOKENS
    assert 0 < line["ms"]["first"] < line["ms"]["total"]


def test_an_openai_stream_ends_with_done(generation: tuple[RuntimeApi, LogLines]) -> None:
    api, _ = generation
    aws_event = request(path="/v1/completions", model=MODEL, prompt="ROMEO:", max_tokens=TOKENS, stream=True)
    head, body = api.streamed(aws_event)
    assert head["statusCode"] == 200
    assert {document["object"] for document in documents(body)} == {"text_completion"}
    assert b"data: [DONE]\n\n" in body


def test_a_disconnected_client_ends_the_generation(generation: tuple[RuntimeApi, LogLines]) -> None:
    api, lines = generation
    api.offer(request(inputs="ROMEO:", parameters={"max_new_tokens": 100}, stream=True))
    api.drop(reset=True)  # while the model is loading
    assert api.streamed(request())[0]["statusCode"] == 200
    api.request()
    disconnected, next_request = lines.requests(2)
    assert disconnected["client_gone"] is True
    assert disconnected["output_tokens"] <= 2
    assert next_request["output_tokens"] == TOKENS
    assert "client_gone" not in next_request


def test_an_error_before_the_first_token_has_a_status(generation: tuple[RuntimeApi, LogLines]) -> None:
    api, _ = generation
    head, body = api.streamed(request(path="/models/nobody", inputs="a", stream=True))
    assert head["statusCode"] == 404, body
    head, body = api.streamed(request(inputs="", stream=True))
    assert head["statusCode"] == 400, body
    head, _ = api.streamed(request(path="/nowhere", inputs=""))
    assert head["statusCode"] == 404


def test_api_keys_and_audit_apply_to_streams(python_of_lambda: Path, tmp_path: Path) -> None:
    entries = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "models": [model], "rate": 0.01, "burst": 2}
        for name, model in (("mine", MODEL), ("other", "sentiment-*"))
    ]
    variables = {"HEARTH_API_KEYS": json.dumps(entries), "HEARTH_AUDIT": (tmp_path / "audit.jsonl").as_uri()}
    statuses = []
    with RuntimeApi() as api, api.runtime(GENERATION, STREAMED | variables):
        for trigger in ("rest-v1", "function-url"):
            for key in (None, "wrong", "other", "mine"):
                aws_event = request(trigger)
                for field in {"headers", "multiValueHeaders"} & aws_event.keys():
                    aws_event[field] |= {"x-api-key": [key] if field.startswith("multi") else key} if key else {}
                head, body = api.streamed(aws_event)
                statuses.append(head["statusCode"])
                assert (b"generated_text" in body) is (head["statusCode"] == 200)
        head, _ = api.streamed(aws_event)
        assert head["statusCode"] == 429
        assert {name.lower() for name in head["headers"]} >= {"retry-after"}
    assert statuses == [401, 401, 403, 200] * 2
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert check(lines).error == ""
    records = [json.loads(line)["audit"] for line in lines]
    ends = [record for record in records if record["phase"] == "end"]
    assert [record["status"] for record in ends] == [*statuses, 429]
    assert [record["model"] for record in ends if record["status"] == 200] == [MODEL] * 2
    assert [record["phase"] for record in records].count("start") == 2


def test_a_response_without_streaming_is_the_same(generation: tuple[RuntimeApi, LogLines]) -> None:
    api, _ = generation
    parameters = {"inputs": "ROMEO:", "parameters": {"max_new_tokens": TOKENS, "seed": 1}}
    head, body = api.streamed(request(**parameters))
    buffered = json.loads(api.whole(request("http-v2", **parameters)))
    assert buffered["statusCode"] == head["statusCode"] == 200
    assert json.loads(buffered["body"]) == json.loads(body)


def test_a_stream_is_buffered_for_a_load_balancer(generation: tuple[RuntimeApi, LogLines]) -> None:
    api, _ = generation
    response = json.loads(api.whole(request("alb")))
    assert response["headers"]["x-hearth-stream"] == "buffered"
    assert len(documents(response["body"].encode())) == TOKENS


def without_times(response: bytes) -> Any:
    document = json.loads(response)
    for headers in (
        (document.get("headers", {}), document.get("multiValueHeaders", {})) if isinstance(document, dict) else ()
    ):
        headers.pop("server-timing", None)
    return document


@pytest.mark.usefixtures("python_of_lambda")
def test_every_trigger_gets_the_response_of_awss_runtime(s3: Any, environment: dict[str, str]) -> None:
    stored = s3.put_object(Bucket="uploads", Key="uploads/sentiment-en/a film.txt", Body=b"a wonderful film")
    names = sorted(path.stem for path in EVENTS.glob("*.json"))
    responses: dict[str, list[Any]] = {name: [] for name in names}
    variables = {**environment, "HEARTH_MODELS": "sentiment-en", "HEARTH_STREAM": "", "AWS_ACCESS_KEY_ID": "test"}
    variables |= {"AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    aws_command = (python313(), "-c", AWS_RUNTIME, runtime_client())
    for command in (None, aws_command):
        with RuntimeApi() as api:
            code = ROOT / "functions/text_classification"
            with api.runtime(code, variables, command) if command else api.runtime(code, variables):
                for name in names:
                    payload = event(name, version_id=stored["VersionId"])
                    responses[name].append(without_times(api.whole(payload)))
    assert all(ours == theirs for ours, theirs in responses.values()), responses
    assert responses["rest-v1"][0]["statusCode"] == 200
    assert responses["sqs-eventbridge"][0] == {"batchItemFailures": []}


AWS_RUNTIME = """
import sys
sys.path.append(sys.argv[1])
from awslambdaric.__main__ import main
main(["bootstrap", "hearth.aws_lambda.main.handler"])
"""


@pytest.mark.usefixtures("python_of_lambda")
def test_under_the_emulator() -> None:
    with Emulator.of("text_generation", STREAMED, streams=True) as emulator:
        for trigger in ("rest-v1", "function-url"):
            response = emulator.invoke(request(trigger))
            assert response.status == 200
            head, _, body = response.raw.partition(bytes(8))
            assert json.loads(head)["headers"]["x-hearth-stream"] == "streamed"
            assert len(documents(body)) == TOKENS
        assert emulator.invoke(request("alb")).payload["statusCode"] == 200
        assert "error" in emulator.invoke({"hello": 1}).payload
        assert [record["cold"] for record in emulator.records("request")] == [True, False, False]


@pytest.mark.usefixtures("python_of_lambda")
def test_an_error_during_a_stream_under_the_emulator(tmp_path: Path) -> None:
    code = Path(__file__).with_name("streaming")
    packages = [layer("core") / "python", layer("runtime") / "python"]
    runtime = [layer("runtime") / "bootstrap-stream", python313(), "/var/runtime/bootstrap.py"]
    variables = {"SCRATCH": str(tmp_path), "HEARTH_STREAM": "url"}
    with Emulator(code, packages, variables, runtime=runtime) as emulator:
        # The emulator reads the trailers but does not pass them on to its client.
        broken = emulator.invoke(event("function-url", path="/after")).raw
        assert broken == prelude(200, {}) + b"half"
        no_content = emulator.invoke(event("function-url", path="/no-content")).raw
        assert no_content == prelude(204, {"content-type": "text/plain"})
        (record,) = emulator.records("unexpected")
        assert record["exception_name"] == "LookupError"
        assert "secret" not in emulator.log
