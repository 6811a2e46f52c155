"""The audit log: one record per response, chained so that any later change of a file is found and named."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from hearth import settings
from hearth.auth import api_keys
from hearth.aws_lambda.handler import create_handler
from hearth.errors import SettingsError
from hearth.models.cache import warm_cache
from hearth.telemetry import audit, cost
from hearth.telemetry.audit import Chain, digest
from hearth_build import ZOO
from hearth_build.cli import serve
from hearth_build.cli.audit import check
from hearth_build.cloud.cost_model import PRICES, read_prices
from hearth_functions.text_classification import app as text
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event
from tests.support.api_keys import ENTRIES, key_header

GOOD = b'{"inputs": "good canary-5d1c"}'


@pytest.fixture
def audited(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make this process require keys and write audit records; return the path of their file."""
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("HEARTH_AUDIT", path.as_uri())
    monkeypatch.setenv("HEARTH_API_KEYS", json.dumps(ENTRIES))
    settings.get.cache_clear()
    audit.chain.cache_clear()
    return path


@pytest.fixture
def client(audited: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["audit"] for line in path.read_text().splitlines()]


def test_a_record_names_caller_model_and_input(client: TestClient, audited: Path, serving: Path) -> None:
    response = client.post("/models/sentiment-en", content=GOOD, headers=key_header("words"))
    manifest = (serving / "sentiment-en/1/manifest.json").read_bytes()
    (record,) = records(audited)
    assert record.pop("ms") > 0
    assert record.pop("time").endswith("+00:00")
    assert len(record.pop("chain")) == 16
    assert record.pop("hash") == digest(records(audited)[0])
    assert record == {
        "number": 1,
        "request_id": response.headers["x-request-id"],
        "phase": "end",
        "trigger": "http",
        "tenant": api_keys.tenant_hash("words"),
        "model": "sentiment-en",
        "version": "1",
        "model_sha256": hashlib.sha256(manifest).hexdigest(),
        "signed_by": None,
        "input_sha256": hashlib.sha256(GOOD).hexdigest(),
        "status": 200,
        "error": None,
        "dollars": None,
        "previous": "0" * 64,
    }
    assert audited.stat().st_mode & 0o777 == 0o600
    assert "canary" not in audited.read_text()


def test_every_response_has_one_record_including_errors(client: TestClient, audited: Path) -> None:
    requests = [
        ("POST", "/models/sentiment-en", GOOD, "words", 200),
        ("POST", "/models/sentiment-en", b"{", "words", 400),
        ("POST", "/models/resnet20-cifar10", GOOD, "words", 403),
        ("POST", "/models/none", GOOD, "all", 404),
        ("GET", "/nowhere", b"", "all", 404),
        ("GET", "/v1/models", b"", None, 401),
        ("GET", "/", b"", None, 200),
        ("POST", "/v2/models/sentiment-en/infer", b"{}", "words", 400),
    ]
    for method, path, body, key_name, status in requests:
        response = client.request(method, path, content=body, headers=key_header(key_name) if key_name else {})
        assert response.status_code == status, response.text
    written = records(audited)
    assert [record["status"] for record in written] == [status for *_, status in requests]
    assert [record["error"] for record in written if record["status"] == 401] == ["unauthorized"]
    assert len({record["request_id"] for record in written}) == len(requests)
    report = check(audited.read_bytes().splitlines())
    assert (report.error, [end.number for end in report.chains.values()]) == ("", [len(requests)])


def test_a_part_of_a_record_is_an_error_and_harms_no_other_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "audit.jsonl", os.write
    chain = Chain(path.as_uri())
    chain.add({"status": 1})
    with monkeypatch.context() as full:
        full.setattr(audit.os, "write", lambda descriptor, line: write(descriptor, line[: len(line) // 2]))
        with pytest.raises(OSError, match="No space left"):
            chain.add({"status": 2})
    chain.add({"status": 3})
    assert "record 2 of chain" in check(path.read_bytes().splitlines()).error
    assert "missing: line 2 has record 3" in check(path.read_bytes().splitlines()).error


def test_on_lambda_log_line_and_record_have_the_cost(
    serving: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HEARTH_AUDIT", "log")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "2048")
    cost.dollars_per_millisecond.cache_clear()
    settings.get.cache_clear()
    audit.chain.cache_clear()
    handler = create_handler(text.TASKS)
    assert handler(rest_v1_event("/models/sentiment-en", GOOD), CONTEXT)["statusCode"] == 200
    damaged = rest_v1_event("/models/sentiment-en", b"%%%", encoded=False) | {"isBase64Encoded": True}
    assert handler(damaged, CONTEXT)["statusCode"] == 400
    printed = capsys.readouterr().out
    assert "canary" not in printed
    first, second = [json.loads(line)["audit"] for line in printed.splitlines() if line.startswith('{"audit"')]
    price = read_prices(PRICES)["lambda"][{"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)]
    assert first["dollars"] == pytest.approx(2 * first["ms"] / 1000 * price, rel=1e-4)
    lines = [line for line in map(json.loads, printed.splitlines()) if line.get("message") == "request"]
    costs = [(line["ms"]["total"], line["dollars"]) for line in lines]
    assert costs == [(record["ms"], record["dollars"]) for record in (first, second)]
    assert (first["status"], second["status"], second["previous"]) == (200, 400, first["hash"])
    assert check(io.BytesIO(printed.encode())).error == ""  # other lines of the log are ignored


def test_threads_and_processes_share_a_file(audited: Path) -> None:
    code = (
        "from hearth.telemetry.audit import Chain; "
        f"chain = Chain({audited.as_uri()!r}); [chain.add({{'n': n}}) for n in range(200)]"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    chain = Chain(audited.as_uri())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: chain.add({"n": n}), range(200)))
    assert [process.wait() for process in processes] == [0, 0]
    report = check(audited.read_bytes().splitlines())
    assert (report.error, [end.number for end in report.chains.values()]) == ("", [200] * 3)


@pytest.mark.parametrize(("failure", "status"), [("", 503), ("refuse", 503), ("continue", 200)])
def test_a_request_whose_record_cannot_be_written_is_refused_unless_the_setting_says_to_continue(
    audited: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: str, status: int
) -> None:
    monkeypatch.setenv("HEARTH_AUDIT_FAILURE", failure)
    settings.get.cache_clear()
    with TestClient(serve.app()) as client:

        def send_request() -> tuple[int, str]:
            response = client.post("/models/sentiment-en", content=GOOD, headers=key_header("words"))
            return response.status_code, response.text

        assert send_request()[0] == 200
        backup = audited.rename(audited.with_suffix(".kept"))
        audited.mkdir()
        refused, body = send_request()
        assert refused == status
        assert ("The audit log cannot be written" in body) == (status == 503)
        assert "positive" in body or status == 503
        assert "audit record lost" in caplog.messages
        audited.rmdir()
        backup.rename(audited)
        assert send_request()[0] == 200
    assert "record 2 of chain" in check(audited.read_bytes().splitlines()).error


def test_a_stream_has_a_record_before_it_begins_and_one_at_its_end(
    audited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_STORE", ZOO.as_uri())
    monkeypatch.delenv("HEARTH_API_KEYS")
    for cached in (settings.get, warm_cache):
        cached.cache_clear()
    document = {"model": "gpt-shakespeare", "prompt": "Yes", "max_tokens": 3, "stream": True}
    with TestClient(serve.app()) as client:
        response = client.post("/v1/completions", json=document)
        assert response.status_code == 200
        ended = records(audited)
        assert [(record["phase"], record["status"]) for record in ended] == [("start", 200), ("end", 200)]
        assert {record["request_id"] for record in ended} == {response.headers["x-request-id"]}
        assert {record["version"] for record in ended} == {"2"}
        audited.unlink()
        audited.mkdir()
        assert client.post("/v1/completions", json=document).status_code == 503


def test_an_unknown_destination_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="HEARTH_AUDIT"):
        settings.read({"HEARTH_AUDIT": "s3://bucket"})


# The check


def chains(*lengths: int) -> list[bytes]:
    """Return the lines of chains that are written in turn, with lines of a log between them."""
    output = io.StringIO()
    written = [Chain("log") for _ in lengths]
    with contextlib.redirect_stdout(output):
        for turn in range(max(lengths)):
            for chain, length in zip(written, lengths, strict=True):
                if turn < length:
                    chain.add({"status": 200, "turn": turn, "model": "sentiment-en"})
            print("START RequestId: 1 Version: $LATEST")
    return output.getvalue().encode().splitlines(keepends=True)


def index_of(lines: list[bytes], chain: int, number: int) -> int:
    """Return the index of a record's line; chains are numbered in the order of their first records."""
    names: list[str] = []
    for index, line in enumerate(lines):
        if line.startswith(b"{"):
            record = json.loads(line)["audit"]
            if record["chain"] not in names:
                names.append(record["chain"])
            if (names.index(record["chain"]), record["number"]) == (chain, number):
                return index
    raise AssertionError("no such record")


def test_complete_chains_are_valid_with_log_prefixes_too() -> None:
    lines = chains(5, 3)
    for variant in (lines, [b"2026-11-25T20:00:00.123Z [stream] " + line for line in lines]):
        report = check(variant)
        assert (report.error, [end.number for end in report.chains.values()]) == ("", [5, 3])


def test_a_changed_record_is_named() -> None:
    lines = chains(5, 5)
    index = index_of(lines, 1, 3)
    lines[index] = lines[index].replace(b'"status": 200', b'"status": 404')
    record = json.loads(lines[index])["audit"]
    assert check(lines).error.startswith(f"record 3 of chain {record['chain']} (line {index + 1}) was changed")


def test_a_forged_record_is_named_where_the_chain_breaks() -> None:
    lines = chains(5)
    index = index_of(lines, 0, 3)
    record = json.loads(lines[index])["audit"] | {"model": "another"}
    lines[index] = json.dumps({"audit": record | {"hash": digest(record)}}).encode() + b"\n"
    assert check(lines).error.startswith(f"record 4 of chain {record['chain']}")


def test_missing_moved_and_repeated_records_are_named() -> None:
    lines = chains(5)
    for number in (1, 2, 4):
        index = index_of(lines, 0, number)
        assert f"record {number} of chain" in check(lines[:index] + lines[index + 1 :]).error
        assert "is missing" in check(lines[:index] + lines[index + 1 :]).error
    first, second = index_of(lines, 0, 2), index_of(lines, 0, 3)
    moved = list(lines)
    moved[first], moved[second] = lines[second], lines[first]
    assert "record 2 of chain" in check(moved).error
    assert "was moved" in check(moved).error
    assert "a second time" in check([*lines, lines[first]]).error


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_a_change_of_any_byte_of_a_record_is_noticed(data: st.DataObject) -> None:
    lines = chains(4, 2)
    numbered = [index for index, line in enumerate(lines) if line.startswith(b"{")]
    changed = data.draw(st.sampled_from(numbered[:-1]), "line")
    line = bytearray(lines[changed])
    position = data.draw(st.integers(0, len(line) - 2), "byte")
    line[position] = data.draw(st.integers(0x20, 0x7E).filter(lambda byte: byte != line[position]), "new")
    original = json.loads(lines[changed])
    with contextlib.suppress(ValueError):
        if json.loads(bytes(line)) == original:
            return  # one kind of whitespace replaced by another
    report = check([*lines[:changed], bytes(line), *lines[changed + 1 :]])
    is_last = all(
        json.loads(lines[index])["audit"]["chain"] != original["audit"]["chain"]
        for index in numbered
        if index > changed
    )
    ends = {end.name: end.number for end in report.chains.values()}
    if is_last and not report.error:  # a missing last record shows only in the recorded ends of the chains
        assert ends.get(original["audit"]["chain"]) != original["audit"]["number"]
    else:
        assert report.error


def hearth(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
    command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_the_commands_create_keys_and_check_files(tmp_path: Path) -> None:
    created = hearth("api-key", "acme", "--models", "sentiment-*, ner-*", "--rate", "2.5", "--burst", "10")
    entry = json.loads(created.stdout)
    (key,) = [word for word in created.stderr.split() if word.startswith("hearth_")]
    assert (entry["name"], entry["models"], entry["rate"], entry["burst"]) == (
        "acme",
        ["sentiment-*", "ner-*"],
        2.5,
        10,
    )
    assert key not in created.stdout
    caller, _ = api_keys._read_table(f"[{created.stdout}]").find(key)
    assert caller == api_keys.Caller(api_keys.tenant_hash("acme"), ("sentiment-*", "ner-*"))
    file = tmp_path / "audit.jsonl"
    lines = chains(3)
    file.write_bytes(b"".join(lines))
    valid = hearth("audit", str(file))
    assert (valid.returncode, valid.stderr) == (0, "")
    assert "3 records" in valid.stdout
    file.write_bytes(b"".join(lines).replace(b'"turn": 1', b'"turn": 2'))
    invalid = hearth("audit", str(file))
    assert invalid.returncode == 1
    assert "record 2 of chain" in invalid.stderr
    file.write_text("START\n")
    assert hearth("audit", str(file)).returncode == 1
    assert "nowhere" in hearth("audit", "nowhere").stderr


def test_storage_events_and_calls_by_reference_have_the_objects_digest(
    audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uploads", "results"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "uploads").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "results").as_uri())
    settings.get.cache_clear()
    data = b"good canary-5d1c"
    with TestClient(serve.app()) as client:
        upload_request = {"model": "sentiment-en", "content_type": "text/plain", "size": len(data)}
        ticket = client.post("/uploads", json=upload_request, headers=key_header("words")).json()
        client.post(ticket["url"], data=ticket["fields"], files={"file": data})
        path, deadline = f"/results/{ticket['id']}", time.monotonic() + 20
        while client.get(path, headers=key_header("words")).status_code == 202:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        reference = {"inputs": {"upload": ticket["id"]}}
        assert client.post("/models/sentiment-en", json=reference, headers=key_header("words")).status_code == 200
    while not any(
        record["trigger"] == "storage" for record in records(audited)
    ):  # the record is written after the result
        assert time.monotonic() < deadline
        time.sleep(0.02)
    event, call = [
        next(record for record in records(audited) if record["model"] and record["trigger"] == trigger)
        for trigger in ("storage", "http")
    ]
    for record in (event, call):
        assert record["input_sha256"] == hashlib.sha256(data).hexdigest()
        assert record["tenant"] == api_keys.tenant_hash("words")
    assert check(audited.read_bytes().splitlines()).error == ""
    assert "canary" not in audited.read_text()
