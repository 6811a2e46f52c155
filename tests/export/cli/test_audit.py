from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hearth.telemetry.audit import FIRST, digest
from hearth_build.cli.audit import check
from hearth_build.cli.main import app


def chain(name: str, count: int) -> list[bytes]:
    lines, previous = [], FIRST
    for number in range(1, count + 1):
        record: dict[str, Any] = {"chain": name, "number": number, "previous": previous, "model": "toy"}
        previous = digest(record)
        lines.append(json.dumps({"audit": record | {"hash": previous}}).encode() + b"\n")
    return lines


def test_chains_may_be_mixed_with_each_other_and_with_other_lines() -> None:
    first, second = chain("a", 3), chain("b", 2)
    report = check(
        [b"started\n", first[0], b"2026-01-01 " + second[0], first[1], second[1], b'{"message": 1}\n', first[2]]
    )
    assert report.error == ""
    assert {name: head.number for name, head in report.chains.items()} == {"a": 3, "b": 2}


def rehashed(line: bytes) -> bytes:
    record = json.loads(line)["audit"] | {"model": "another"}
    return json.dumps({"audit": record | {"hash": digest(record)}}).encode()


A = chain("a", 4)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([A[0], A[1].replace(b"toy", b"top"), A[2]], r"record 2 of chain a \(line 2\) was changed"),
        ([A[0], A[2], A[3]], "record 2 of chain a is missing: line 2 has record 3 instead"),
        ([A[0], A[2], A[1], A[3]], "record 2 of chain a was moved: it is in line 3, after record 3"),
        ([A[0], A[0]], "is there a second time, or was moved: record 2 was expected"),
        ([A[0], rehashed(A[1]), A[2]], r"record 3 of chain a \(line 3\) does not continue"),
        ([A[0], A[1][:-9] + b"\n", A[2]], "record 2 of chain a is missing"),
    ],
)
def test_the_first_error_is_named(lines: list[bytes], error: str) -> None:
    assert re.search(error, check(lines).error)


def test_the_command_fails_if_records_are_changed_or_absent(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(b"".join(A))
    result = CliRunner().invoke(app, ["audit", str(file)])
    assert (result.exit_code, result.stdout.startswith("chain a: 4 records")) == (0, True)
    for lines in (A[1:], [b"nothing\n"]):
        file.write_bytes(b"".join(lines))
        assert CliRunner().invoke(app, ["audit", str(file)]).exit_code == 1
