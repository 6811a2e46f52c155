"""Verify audit records: every chain is complete, in order and unchanged, from its first record on.

The lines may come from an audit file, or from a log that has other lines in between and prefixes before each line, as
`aws logs tail` and exports of CloudWatch write them. With `HEARTH_AUDIT=log`, a record is one JSON object on one line
in both cases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hearth.telemetry.audit import FIRST, digest


@dataclass
class ChainHead:
    """The last verified record of a chain."""

    name: str
    number: int = 0
    hash: str = FIRST


@dataclass
class Report:
    chains: dict[str, ChainHead] = field(default_factory=dict)
    error: str = ""
    """A sentence about the first record that is not as it was written; empty if all records are intact."""


def check(lines: Iterable[bytes]) -> Report:
    """Follow all chains up to the first error."""
    report = Report()
    numbered_records = list(_records(lines))
    line_numbers = {(record["chain"], record["number"]): line for line, record in numbered_records}
    for line, record in numbered_records:
        chain = report.chains.setdefault(record["chain"], ChainHead(record["chain"]))
        report.error = _error(line, record, chain, line_numbers)
        if report.error:
            return report
        chain.number, chain.hash = record["number"], record["hash"]
    return report


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the line number, from 1, and the record of each line that contains one."""
    for number, line in enumerate(lines, 1):
        start = line.rfind(b'{"audit"')  # a part of a record may precede it, for which the disk had no space
        if start < 0:
            continue
        try:
            document, _ = json.JSONDecoder().raw_decode(line[start:].decode())
        except ValueError:
            continue  # a damaged line: its record will be reported as missing
        record = document["audit"]
        if isinstance(record, dict) and isinstance(record.get("chain"), str) and type(record.get("number")) is int:
            yield number, record


def _error(line: int, record: dict[str, Any], chain: ChainHead, line_numbers: dict[tuple[str, int], int]) -> str:
    number, expected = record["number"], chain.number + 1
    label = f"record {number} of chain {chain.name} (line {line})"
    if digest(record) != record.get("hash"):
        return f"{label} was changed: its hash does not match its content"
    if number < expected:
        return f"{label} is there a second time, or was moved: record {expected} was expected"
    if number > expected:
        moved_to = line_numbers.get((chain.name, expected))
        if moved_to:
            return f"record {expected} of chain {chain.name} was moved: it is in line {moved_to}, after record {number}"
        return f"record {expected} of chain {chain.name} is missing: line {line} has record {number} instead"
    if record.get("previous") != chain.hash:
        return f"{label} does not continue the record before it: one of the two was replaced"
    return ""
