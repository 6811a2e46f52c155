"""The audit: one record an answer, chained so that whatever is done to a file afterwards is found and named."""

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
from hearth.telemetry import audit, cost
from hearth.telemetry.audit import Chain, digest
from hearth_build.cli import serve
from hearth_build.cli.audit import check
from hearth_build.cloud.cost_model import PRICES, prices_of
from hearth_functions.text_classification import app as text
from tests.runtime.auth.test_api_keys import ENTRIES, key_header
from tests.runtime.aws_lambda.test_handler import CONTEXT, rest_v1_event

GOOD = b'{"inputs": "good canary-5d1c"}'


@pytest.fixture
def audited(serving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process records its answers in the file whose path this is, and wants keys."""
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


def test_a_record_says_who_asked_what_of_which_bytes(client: TestClient, audited: Path, serving: Path) -> None:
    answer = client.post("/models/sentiment-en", content=GOOD, headers=key_header("words"))
    manifest = (serving / "sentiment-en/1/manifest.json").read_bytes()
    (record,) = records(audited)
    assert record.pop("ms") > 0
    assert record.pop("time").endswith("+00:00")
    assert len(record.pop("chain")) == 16
    assert record.pop("hash") == digest(records(audited)[0])
    assert record == {
        "number": 1,
        "request_id": answer.headers["x-request-id"],
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


def test_every_answer_has_one_record_failures_too(client: TestClient, audited: Path) -> None:
    asked = [
        ("POST", "/models/sentiment-en", GOOD, "words", 200),
        ("POST", "/models/sentiment-en", b"{", "words", 400),
        ("POST", "/models/resnet20-cifar10", GOOD, "words", 403),
        ("POST", "/models/none", GOOD, "all", 404),
        ("GET", "/nowhere", b"", "all", 404),
        ("GET", "/v1/models", b"", None, 401),
        ("GET", "/", b"", None, 200),
        ("POST", "/v2/models/sentiment-en/infer", b"{}", "words", 400),
    ]
    for method, path, body, who, status in asked:
        answer = client.request(method, path, content=body, headers=key_header(who) if who else {})
        assert answer.status_code == status, answer.text
    found = records(audited)
    assert [record["status"] for record in found] == [status for *_, status in asked]
    assert [record["error"] for record in found if record["status"] == 401] == ["unauthorized"]
    assert len({record["request_id"] for record in found}) == len(asked)
    told = check(audited.read_bytes().splitlines())
    assert (told.wrong, [end.number for end in told.chains.values()]) == ("", [len(asked)])


def test_on_lambda_line_and_record_estimate_the_cost_and_records_may_go_to_the_log(
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
    price = prices_of(PRICES)["lambda"][{"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)]
    assert first["dollars"] == pytest.approx(2 * first["ms"] / 1000 * price, rel=1e-4)
    lines = [line for line in map(json.loads, printed.splitlines()) if line.get("message") == "request"]
    told = [(line["ms"]["total"], line["dollars"]) for line in lines]
    assert told == [(record["ms"], record["dollars"]) for record in (first, second)]
    assert (first["status"], second["status"], second["previous"]) == (200, 400, first["hash"])
    assert check(io.BytesIO(printed.encode())).wrong == ""  # the log's other lines do not matter


def test_threads_and_processes_share_a_file(audited: Path) -> None:
    code = f"from hearth.telemetry.audit import Chain; c = Chain({audited.as_uri()!r}); [c.add({{'n': n}}) for n in range(200)]"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    others = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    chain = Chain(audited.as_uri())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: chain.add({"n": n}), range(200)))
    assert [other.wait() for other in others] == [0, 0]
    told = check(audited.read_bytes().splitlines())
    assert (told.wrong, [end.number for end in told.chains.values()]) == ("", [200] * 3)


def test_where_a_record_cannot_be_written_the_answer_comes_and_the_gap_shows(
    client: TestClient, audited: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def ask() -> int:
        return client.post("/models/sentiment-en", content=GOOD, headers=key_header("words")).status_code

    assert ask() == 200
    kept = audited.rename(audited.with_suffix(".kept"))
    audited.mkdir()
    assert ask() == 200
    assert "audit record lost" in caplog.messages
    audited.rmdir()
    kept.rename(audited)
    assert ask() == 200
    assert "record 2 of chain" in check(audited.read_bytes().splitlines()).wrong


def test_a_place_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="HEARTH_AUDIT"):
        settings.read({"HEARTH_AUDIT": "s3://bucket"})


# The check


def chains(*lengths: int) -> list[bytes]:
    """Lines of chains that are written by turns, with lines of a log between."""
    held = io.StringIO()
    made = [Chain("log") for _ in lengths]
    with contextlib.redirect_stdout(held):
        for turn in range(max(lengths)):
            for chain, length in zip(made, lengths, strict=True):
                if turn < length:
                    chain.add({"status": 200, "turn": turn, "model": "sentiment-en"})
            print("START RequestId: 1 Version: $LATEST")
    return held.getvalue().encode().splitlines(keepends=True)


def where(lines: list[bytes], chain: int, number: int) -> int:
    """The index of a record's line. `chain`: in the order of their beginnings."""
    names: list[str] = []
    for index, line in enumerate(lines):
        if line.startswith(b"{"):
            record = json.loads(line)["audit"]
            if record["chain"] not in names:
                names.append(record["chain"])
            if (names.index(record["chain"]), record["number"]) == (chain, number):
                return index
    raise AssertionError("no such record")


def test_whole_chains_are_fine_also_as_tails_of_logs_write_them() -> None:
    lines = chains(5, 3)
    for written in (lines, [b"2026-11-25T20:00:00.123Z [stream] " + line for line in lines]):
        found = check(written)
        assert (found.wrong, [end.number for end in found.chains.values()]) == ("", [5, 3])


def test_a_changed_record_is_named() -> None:
    lines = chains(5, 5)
    at = where(lines, 1, 3)
    lines[at] = lines[at].replace(b'"status": 200', b'"status": 404')
    record = json.loads(lines[at])["audit"]
    assert check(lines).wrong.startswith(f"record 3 of chain {record['chain']} (line {at + 1}) was changed")


def test_a_record_made_anew_is_named_where_the_chain_breaks() -> None:
    lines = chains(5)
    at = where(lines, 0, 3)
    record = json.loads(lines[at])["audit"] | {"model": "another"}
    lines[at] = json.dumps({"audit": record | {"hash": digest(record)}}).encode() + b"\n"
    assert check(lines).wrong.startswith(f"record 4 of chain {record['chain']}")


def test_missing_moved_and_doubled_records_are_named() -> None:
    lines = chains(5)
    for number in (1, 2, 4):
        at = where(lines, 0, number)
        assert f"record {number} of chain" in check(lines[:at] + lines[at + 1 :]).wrong
        assert "is missing" in check(lines[:at] + lines[at + 1 :]).wrong
    first, second = where(lines, 0, 2), where(lines, 0, 3)
    moved = list(lines)
    moved[first], moved[second] = lines[second], lines[first]
    assert "record 2 of chain" in check(moved).wrong
    assert "was moved" in check(moved).wrong
    assert "a second time" in check([*lines, lines[first]]).wrong


@hypothesis_settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_no_single_byte_of_a_record_can_be_changed_unseen(data: st.DataObject) -> None:
    lines = chains(4, 2)
    numbered = [index for index, line in enumerate(lines) if line.startswith(b"{")]
    at = data.draw(st.sampled_from(numbered[:-1]), "line")
    line = bytearray(lines[at])
    place = data.draw(st.integers(0, len(line) - 2), "byte")
    line[place] = data.draw(st.integers(0x20, 0x7E).filter(lambda byte: byte != line[place]), "new")
    before = json.loads(lines[at])
    with contextlib.suppress(ValueError):
        if json.loads(bytes(line)) == before:
            return  # a blank for a blank
    found = check([*lines[:at], bytes(line), *lines[at + 1 :]])
    last = all(
        json.loads(lines[index])["audit"]["chain"] != before["audit"]["chain"] for index in numbered if index > at
    )
    ends = {end.name: end.number for end in found.chains.values()}
    if last and not found.wrong:  # the end of a chain: what is kept of the ends tells
        assert ends.get(before["audit"]["chain"]) != before["audit"]["number"]
    else:
        assert found.wrong


def hearth(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "200"}
    command = [sys.executable, "-m", "hearth_build.cli.main", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def test_the_commands(tmp_path: Path) -> None:
    made = hearth("api-key", "acme", "--models", "sentiment-*, ner-*", "--rate", "2.5", "--burst", "10")
    entry = json.loads(made.stdout)
    (key,) = [word for word in made.stderr.split() if word.startswith("hearth_")]
    assert (entry["name"], entry["models"], entry["rate"], entry["burst"]) == (
        "acme",
        ["sentiment-*", "ner-*"],
        2.5,
        10,
    )
    assert key not in made.stdout
    caller, _ = api_keys._read_table(f"[{made.stdout}]").find(key)
    assert caller == api_keys.Caller(api_keys.tenant_hash("acme"), ("sentiment-*", "ner-*"))
    file = tmp_path / "audit.jsonl"
    lines = chains(3)
    file.write_bytes(b"".join(lines))
    fine = hearth("audit", str(file))
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "3 records" in fine.stdout
    file.write_bytes(b"".join(lines).replace(b'"turn": 1', b'"turn": 2'))
    wrong = hearth("audit", str(file))
    assert wrong.returncode == 1
    assert "record 2 of chain" in wrong.stderr
    file.write_text("START\n")
    assert hearth("audit", str(file)).returncode == 1
    assert "nowhere" in hearth("audit", "nowhere").stderr


def test_storage_events_and_calls_by_reference_have_the_digest_of_the_object(
    audited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("uploads", "results"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HEARTH_UPLOADS", (tmp_path / "uploads").as_uri())
    monkeypatch.setenv("HEARTH_OUTPUT", (tmp_path / "results").as_uri())
    settings.get.cache_clear()
    data = b"good canary-5d1c"
    with TestClient(serve.app()) as client:
        wish = {"model": "sentiment-en", "content_type": "text/plain", "size": len(data)}
        ticket = client.post("/uploads", json=wish, headers=key_header("words")).json()
        client.put(ticket["url"], content=data, headers=ticket["headers"])
        place, until = f"/results/{ticket['id']}", time.monotonic() + 20
        while client.get(place, headers=key_header("words")).status_code == 202:
            assert time.monotonic() < until
            time.sleep(0.02)
        reference = {"inputs": {"upload": ticket["id"]}}
        assert client.post("/models/sentiment-en", json=reference, headers=key_header("words")).status_code == 200
    while not any(record["trigger"] == "storage" for record in records(audited)):  # it comes after the result
        assert time.monotonic() < until
        time.sleep(0.02)
    event, call = [
        next(record for record in records(audited) if record["model"] and record["trigger"] == trigger)
        for trigger in ("storage", "http")
    ]
    for record in (event, call):
        assert record["input_sha256"] == hashlib.sha256(data).hexdigest()
        assert record["tenant"] == api_keys.tenant_hash("words")
    assert check(audited.read_bytes().splitlines()).wrong == ""
    assert "canary" not in audited.read_text()
