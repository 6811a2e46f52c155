"""The version that is named is the version that answered: in every protocol, in results of uploads and batches, in the
log, the metrics, the statistics and the audit; while an alias is moved under load, and where it leads to damage."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from starlette.testclient import TestClient

from hearth import settings
from hearth.async_inference import batch, storage_events
from hearth.models.cache import warm_cache
from hearth.models.download import describe
from hearth.models.manifest import dump, parse
from hearth.telemetry import audit, log, statistics
from hearth_build.cli import serve
from hearth_functions.text_classification import app as text
from tests.conftest import log_lines
from tests.support import ROOT
from tests.support.artifacts import make_text_artifact
from tests.support.s3 import s3_of_this_process
from tests.support.storage import notification

CONTEXT = SimpleNamespace(aws_request_id="request-1")
SENTIMENT, WRITER, EMBEDDER = "sentiment-en", "gpt-shakespeare", "embeddings-en"
CALLS = 12
"""Of each kind of request, while the alias moves."""


class Call(NamedTuple):
    """A request of one protocol: {name} stands for the model's."""

    model: str
    path: str
    body: dict[str, Any]
    version_header: str = ""
    """A header of the protocol's own that tells the version."""

    def send(self, client: TestClient, version: str = "") -> Any:
        name = f"{self.model}@{version}" if version else self.model
        path = self.path.format(name=name)
        if "-raw" in path and version:
            path = f"/v2/models/{self.model}-raw/versions/{version}/infer"
        body = {key: name if value == "{name}" else value for key, value in self.body.items()}
        return client.post(path, json=body)


def oip(name: str, datatype: str, *values: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [1, len(values)], "data": list(values)}


PROMPT = {"max_tokens": 3, "temperature": 0}
CHAT = {"model": "{name}", "messages": [{"role": "user", "content": "Yes"}], **PROMPT}
CALLS_BY_NAME = {
    "native": Call(SENTIMENT, "/models/{name}", {"inputs": "good"}),
    "pipeline": Call(SENTIMENT, "/pipeline/text-classification/{name}", {"inputs": "good"}),
    "inference": Call(
        SENTIMENT,
        "/v2/models/{name}/infer",
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]},
    ),
    "tensors": Call(
        SENTIMENT,
        "/v2/models/{name}-raw/infer",
        {"inputs": [oip("input_ids", "INT64", 2, 7), oip("attention_mask", "INT64", 1, 1)]},
    ),
    "sagemaker": Call(
        SENTIMENT, "/endpoints/{name}/invocations", {"inputs": "good"}, "x-amzn-invoked-production-variant"
    ),
    "generate": Call(WRITER, "/v2/models/{name}/generate", {"text_input": "Yes", "max_tokens": 3}),
    "generate_stream": Call(WRITER, "/v2/models/{name}/generate_stream", {"text_input": "Yes", "max_tokens": 3}),
    "native stream": Call(
        WRITER,
        "/models/{name}",
        {"inputs": "Yes", "parameters": {"max_new_tokens": 3, "details": True}, "stream": True},
    ),
    "completions": Call(WRITER, "/v1/completions", {"model": "{name}", "prompt": "Yes", **PROMPT}),
    "completions stream": Call(
        WRITER, "/v1/completions", {"model": "{name}", "prompt": "Yes", "stream": True, **PROMPT}
    ),
    "embeddings": Call(EMBEDDER, "/v1/embeddings", {"model": "{name}", "input": "Yes"}),
}
MODELS = (SENTIMENT, WRITER, EMBEDDER)


def add_second_version(store: Path, model: str) -> None:
    """Publish `model` of the zoo twice; the tokenizer of version 2 takes words for their neighbours."""
    source = ROOT / "export/zoo" / model
    (number,) = [path.name for path in source.iterdir() if path.is_dir()]
    for version in "12":
        folder = store / model / version
        shutil.copytree(source / number, folder)
        manifest = msgspec.structs.replace(parse((folder / "manifest.json").read_bytes()), version=version)
        if version == "2":
            tokenizer = json.loads((folder / "tokenizer.json").read_text())
            vocabulary = tokenizer["model"]["vocab"]
            words = sorted(token for token in vocabulary if token.isalpha())
            for first, second in zip(words[::2], words[1::2], strict=False):
                vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
            (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
        files = tuple(describe(folder / file.path) for file in manifest.files)
        (folder / "manifest.json").write_bytes(dump(msgspec.structs.replace(manifest, files=files)))


def move_alias(store: Path, version: str) -> None:
    for model in MODELS:
        path = store / model / "aliases.json"
        path.with_suffix(".new").write_text(json.dumps({"prod": {"version": version}}))
        os.replace(path.with_suffix(".new"), path)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two versions of three models, served by this process with an audit and with Lambda's metrics."""
    folder = tmp_path / "store"
    make_text_artifact(folder, SENTIMENT, "1", labels=("negative", "positive"))
    make_text_artifact(folder, SENTIMENT, "2", labels=("bad", "good", "neither"))
    for model in (WRITER, EMBEDDER):
        add_second_version(folder, model)
    move_alias(folder, "1")
    monkeypatch.setenv("HEARTH_STORE", folder.as_uri())
    monkeypatch.setenv("HEARTH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HEARTH_ALIAS_SECONDS", "0")
    monkeypatch.setenv("HEARTH_AUDIT", (tmp_path / "audit.jsonl").as_uri())
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "hearth")
    forget_settings()
    yield folder
    monkeypatch.undo()
    forget_settings()


def forget_settings() -> None:
    for cached in (settings.get, warm_cache, audit.chain, log._function):
        cached.cache_clear()
    statistics.clear()


@pytest.fixture
def client(store: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


@contextmanager
def moving_alias(store: Path) -> Iterator[None]:
    """Move the alias to and fro for as long as the block runs."""
    over = threading.Event()

    def move() -> None:
        while not over.wait(0.002):
            for version in "21":
                move_alias(store, version)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def without_identity(response: Any) -> str:
    """What the answer says, without ids, times, names and versions."""
    identity = ("id", "created", "model", "model_name", "model_version", "system_fingerprint", "seed")

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in identity}
        return [strip(item) for item in value] if isinstance(value, list) else value

    lines = [line.removeprefix("data: ") for line in response.text.splitlines()]
    return json.dumps([strip(json.loads(line)) for line in lines if line.startswith(("{", "[[", "[{"))])


def named_versions(response: Any, call: Call) -> set[str]:
    """Every version that the response names, in headers and body."""
    versions = {response.headers["x-hearth-model"].partition("@")[2]}
    if call.version_header:
        versions.add(response.headers[call.version_header])
    for line in response.text.splitlines():
        document = line.removeprefix("data: ")
        if document.startswith("{") and "model_version" in (fields := json.loads(document)):
            versions.add(fields["model_version"])
    return versions


@pytest.mark.slow
def test_every_protocol_and_record_tells_the_version_that_answered(
    client: TestClient, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected: dict[tuple[str, str], str] = {}
    for name, call in CALLS_BY_NAME.items():
        for version in "12":
            response = call.send(client, version)
            assert response.status_code == 200, (name, response.text)
            expected[name, without_identity(response)] = version
            assert named_versions(response, call) == {version}, name
    assert len(expected) == 2 * len(CALLS_BY_NAME), "answers of two versions must differ"
    log_lines(capsys)
    statistics.clear()
    (tmp_path / "audit.jsonl").unlink()
    audit.chain.cache_clear()

    def ask(name: str) -> tuple[str, str, str]:
        call = CALLS_BY_NAME[name]
        response = call.send(client)
        assert response.status_code == 200, (name, response.text)
        version = expected[name, without_identity(response)]
        assert named_versions(response, call) == {version}, name
        return response.headers["x-request-id"], call.model, version

    with moving_alias(store), ThreadPoolExecutor(4) as pool:
        answered = list(pool.map(ask, CALLS * list(CALLS_BY_NAME)))
    counts = Counter((model, version) for _, model, version in answered)
    assert set(counts) == {(model, version) for model in MODELS for version in "12"}, "the alias did not move"

    lines = log_lines(capsys)
    logged = {line["request_id"]: line["version"] for line in lines if line.get("message") == "request"}
    versions = {request_id: version for request_id, _, version in answered}
    assert logged == versions
    metrics = Counter((line["model"], line["version"]) for line in lines if "_aws" in line)
    assert metrics == counts
    records = [json.loads(line)["audit"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {record["request_id"]: record["version"] for record in records} == versions
    for (model, version), count in counts.items():
        assert statistics.get_record(model, version, "").success.count == count
        digest = warm_cache().registry.origin(warm_cache().registry.find(f"{model}@{version}"))[0]
        assert {
            record["model_sha256"] for record in records if (record["model"], record["version"]) == (model, version)
        } == {digest}


@pytest.mark.slow
def test_uploads_and_batches_tell_the_version_that_answered(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = {"positive": "1", "good": "2"}
    keys = [f"uploads/{SENTIMENT}/{number}.txt" for number in range(40)]
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), HEARTH_OUTPUT="s3://outbox") as s3:
        tags = {key: s3.put_object(Bucket="inbox", Key=key, Body=b"good")["ETag"].strip('"') for key in keys}
        with moving_alias(store):
            for number, key in enumerate(keys):
                event = {"Records": [notification("inbox", key, tags[key], 4, f"{number:04}")]}
                storage_events.handle(text.TASKS, event, CONTEXT)
            items = [{"Key": key, "Size": 4, "Etag": tags[key]} for key in keys]
            run = {"bucket": "inbox", "model": SENTIMENT, "run": "march"}
            assert batch.handle(text.TASKS, {"batch": run, "Items": items}, CONTEXT)["done"] == len(keys)
        results = [
            json.loads(s3.get_object(Bucket="outbox", Key=f"{prefix}{key}.json")["Body"].read())
            for prefix in ("", "march/")
            for key in keys
        ]
    assert [result["version"] for result in results] == [labels[result["output"][0][0]["label"]] for result in results]
    assert {result["version"] for result in results} == {"1", "2"}
    logged = [line["version"] for line in log_lines(capsys) if line.get("message") == "request"]
    assert logged == [result["version"] for result in results]


def test_where_an_alias_leads_to_damage_the_former_version_answers_and_is_named(
    client: TestClient, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    former = {name: without_identity(call.send(client)) for name, call in CALLS_BY_NAME.items()}
    for model in MODELS:
        for path in (store / model / "2").glob("*.bin"):
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    move_alias(store, "2")
    log_lines(capsys)
    for name, call in CALLS_BY_NAME.items():
        response = call.send(client)
        assert response.status_code == 200, (name, response.text)
        assert without_identity(response) == former[name]
        assert named_versions(response, call) == {"1"}, name
    lines = log_lines(capsys)
    assert {line["version"] for line in lines if line.get("message") == "request"} == {"1"}
    assert {line["version"] for line in lines if "_aws" in line} == {"1"}
    with s3_of_this_process(monkeypatch, ("inbox", "outbox"), HEARTH_OUTPUT="s3://outbox") as s3:
        key = f"uploads/{SENTIMENT}/a.txt"
        tag = s3.put_object(Bucket="inbox", Key=key, Body=b"good")["ETag"].strip('"')
        storage_events.handle(text.TASKS, {"Records": [notification("inbox", key, tag, 4, "01")]}, CONTEXT)
        result = json.loads(s3.get_object(Bucket="outbox", Key=f"{key}.json")["Body"].read())
    assert (result["version"], result["output"][0][0]["label"]) == ("1", "positive")
