"""Our functions under the runtime that streams: tokens one by one, and all else as AWS's own runtime answers it."""

from __future__ import annotations

import hashlib
import json
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


def ask(door: str = "function-url", path: str = f"/models/{MODEL}", **body: Any) -> dict[str, Any]:
    body = body or {"inputs": "ROMEO:", "parameters": {"max_new_tokens": TOKENS, "seed": 1}, "stream": True}
    return event(door, path=path, body=json.dumps(body))


def documents(body: bytes) -> list[Any]:
    """The JSON of each event."""
    events = [part.removeprefix("data:").strip() for part in body.decode().split("\n\n") if part.startswith("data:")]
    return [json.loads(text) for text in events if text != "[DONE]"]


class Lines:
    """What a process prints, read as it comes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.found: list[dict[str, Any]] = []
        self.thread = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self.thread.start()

    def _read(self, stream: Any) -> None:
        for line in stream:
            if line.startswith(b"{"):
                self.found.append(json.loads(line))

    def requests(self) -> list[dict[str, Any]]:
        return [line for line in self.found if line.get("message") == "request"]


@pytest.fixture
def generation(python_of_lambda: Path) -> Iterator[tuple[RuntimeApi, Lines]]:
    with RuntimeApi() as api, api.runtime(GENERATION, STREAMED) as process:
        yield api, Lines(process)


@pytest.mark.parametrize("door", ["rest-v1", "function-url"])
def test_each_token_has_a_chunk_of_its_own(generation: tuple[RuntimeApi, Lines], door: str) -> None:
    api, lines = generation
    api.offer(ask(door))
    api.streaming_head()
    form, _, first = api.chunk().partition(bytes(8))
    chunks = [first, *iter(api.chunk, b"")]
    assert api.trailers() == []
    api.accept()
    headers = json.loads(form)["headers"]
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-hearth-stream"] == "streamed"
    *pieces, timing = chunks
    assert [document["index"] for piece in pieces for document in documents(piece)] == list(range(1, TOKENS + 1))
    assert all(len(documents(piece)) <= 1 for piece in pieces)
    assert timing.startswith(b": server-timing ")
    assert b"first;dur=" in timing
    assert b"gap;dur=" in timing
    api.request()  # the next event is asked for only when the line has been written
    (line,) = lines.requests()
    assert line["status"] == 200
    assert line["output_tokens"] == TOKENS
    assert 0 < line["ms"]["first"] < line["ms"]["total"]


def test_openais_stream_ends_with_its_last_word(generation: tuple[RuntimeApi, Lines]) -> None:
    api, _ = generation
    asked = ask(path="/v1/completions", model=MODEL, prompt="ROMEO:", max_tokens=TOKENS, stream=True)
    form, body = api.streamed(asked)
    assert form["statusCode"] == 200
    assert {document["object"] for document in documents(body)} == {"text_completion"}
    assert b"data: [DONE]\n\n" in body


def test_when_the_client_goes_generation_ends(generation: tuple[RuntimeApi, Lines]) -> None:
    api, lines = generation
    api.offer(ask(inputs="ROMEO:", parameters={"max_new_tokens": 100}, stream=True))
    api.drop(reset=True)  # while the model is loaded
    assert api.streamed(ask())[0]["statusCode"] == 200
    api.request()
    gone, after = lines.requests()
    assert gone["client_gone"] is True
    assert gone["output_tokens"] <= 2
    assert after["output_tokens"] == TOKENS
    assert "client_gone" not in after


def test_what_fails_before_the_first_token_has_a_status(generation: tuple[RuntimeApi, Lines]) -> None:
    api, _ = generation
    form, body = api.streamed(ask(path="/models/nobody", inputs="a", stream=True))
    assert form["statusCode"] == 404, body
    form, body = api.streamed(ask(inputs="", stream=True))
    assert form["statusCode"] == 400, body
    form, _ = api.streamed(ask(path="/nowhere", inputs=""))
    assert form["statusCode"] == 404


def test_keys_and_the_audit_hold_for_streams(python_of_lambda: Path, tmp_path: Path) -> None:
    entries = [
        {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "models": [model], "rate": 0.01, "burst": 2}
        for name, model in (("mine", MODEL), ("other", "sentiment-*"))
    ]
    held = {"HEARTH_API_KEYS": json.dumps(entries), "HEARTH_AUDIT": (tmp_path / "audit.jsonl").as_uri()}
    statuses = []
    with RuntimeApi() as api, api.runtime(GENERATION, STREAMED | held):
        for door in ("rest-v1", "function-url"):
            for key in (None, "wrong", "other", "mine"):
                asked = ask(door)
                for field in {"headers", "multiValueHeaders"} & asked.keys():
                    asked[field] |= {"x-api-key": [key] if field.startswith("multi") else key} if key else {}
                form, body = api.streamed(asked)
                statuses.append(form["statusCode"])
                assert (b"generated_text" in body) is (form["statusCode"] == 200)
        form, _ = api.streamed(asked)
        assert form["statusCode"] == 429
        assert {name.lower() for name in form["headers"]} >= {"retry-after"}
    assert statuses == [401, 401, 403, 200] * 2
    lines = (tmp_path / "audit.jsonl").read_bytes().splitlines()
    assert check(lines).error == ""
    records = [json.loads(line)["audit"] for line in lines]
    assert [record["status"] for record in records] == [*statuses, 429]
    assert [record["model"] for record in records if record["status"] == 200] == [MODEL] * 2


def test_an_answer_that_is_not_streamed_is_the_same_one(generation: tuple[RuntimeApi, Lines]) -> None:
    api, _ = generation
    question = {"inputs": "ROMEO:", "parameters": {"max_new_tokens": TOKENS, "seed": 1}}
    form, body = api.streamed(ask(**question))
    whole = json.loads(api.whole(ask("http-v2", **question)))
    assert whole["statusCode"] == form["statusCode"] == 200
    assert json.loads(whole["body"]) == json.loads(body)


def test_under_mangum_a_stream_comes_whole_and_says_so(generation: tuple[RuntimeApi, Lines]) -> None:
    api, _ = generation
    whole = json.loads(api.whole(ask("alb")))
    assert whole["headers"]["x-hearth-stream"] == "buffered"
    assert len(documents(whole["body"].encode())) == TOKENS


def without_times(answer: bytes) -> Any:
    found = json.loads(answer)
    for headers in (found.get("headers", {}), found.get("multiValueHeaders", {})) if isinstance(found, dict) else ():
        headers.pop("server-timing", None)
    return found


@pytest.mark.usefixtures("python_of_lambda")
def test_every_trigger_is_answered_as_awss_runtime_does(s3: Any, environment: dict[str, str]) -> None:
    stored = s3.put_object(Bucket="uploads", Key="uploads/sentiment-en/a film.txt", Body=b"a wonderful film")
    names = sorted(path.stem for path in EVENTS.glob("*.json"))
    answers: dict[str, list[Any]] = {name: [] for name in names}
    variables = {**environment, "HEARTH_MODELS": "sentiment-en", "HEARTH_STREAM": "", "AWS_ACCESS_KEY_ID": "test"}
    variables |= {"AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
    awss = (python313(), "-c", AWSS_RUNTIME, runtime_client())
    for command in (None, awss):
        with RuntimeApi() as api:
            code = ROOT / "functions/text_classification"
            with api.runtime(code, variables, command) if command else api.runtime(code, variables):
                for name in names:
                    told = event(name, version_id=stored["VersionId"])
                    answers[name].append(without_times(api.whole(told)))
    assert all(ours == theirs for ours, theirs in answers.values()), answers
    assert answers["rest-v1"][0]["statusCode"] == 200
    assert answers["sqs-eventbridge"][0] == {"batchItemFailures": []}


AWSS_RUNTIME = """
import sys
sys.path.append(sys.argv[1])
from awslambdaric.__main__ import main
main(["bootstrap", "hearth.aws_lambda.main.handler"])
"""


@pytest.mark.usefixtures("python_of_lambda")
def test_under_the_emulator() -> None:
    with Emulator.of("text_generation", STREAMED, streams=True) as emulator:
        for door in ("rest-v1", "function-url"):
            answer = emulator.invoke(ask(door))
            assert answer.status == 200
            form, _, body = answer.raw.partition(bytes(8))
            assert json.loads(form)["headers"]["x-hearth-stream"] == "streamed"
            assert len(documents(body)) == TOKENS
        assert emulator.invoke(ask("alb")).payload["statusCode"] == 200
        assert "error" in emulator.invoke({"hello": 1}).payload
        assert [record["cold"] for record in emulator.records("request")] == [True, False, False]


@pytest.mark.usefixtures("python_of_lambda")
def test_a_fault_on_the_way_under_the_emulator(tmp_path: Path) -> None:
    code = Path(__file__).with_name("streaming")
    packages = [layer("core") / "python", layer("runtime") / "python"]
    runtime = [layer("runtime") / "bootstrap-stream", python313(), "/var/runtime/bootstrap.py"]
    variables = {"SCRATCH": str(tmp_path), "HEARTH_STREAM": "url"}
    with Emulator(code, packages, variables, runtime=runtime) as emulator:
        # The emulator reads the trailers, and tells its client nothing of them.
        after = emulator.invoke(event("function-url", path="/after")).raw
        assert after == prelude(200, {}) + b"half"
        no_content = emulator.invoke(event("function-url", path="/no-content")).raw
        assert no_content == prelude(204, {"content-type": "text/plain"})
        (fault,) = emulator.records("unexpected")
        assert fault["exception_name"] == "LookupError"
        assert "secret" not in emulator.log
