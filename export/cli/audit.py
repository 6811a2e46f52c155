"""The check of audit records: every chain whole, from its first record, in order, as it was written.

The lines may be an audit file's, or a log's with other lines between and words before each, as `aws logs tail` and
exports of CloudWatch write them; what was written with `HEARTH_AUDIT=log` is one JSON object a line either way.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hearth.telemetry.audit import FIRST, digest


@dataclass
class End:
    """How far a chain was followed."""

    name: str
    number: int = 0
    hash: str = FIRST


@dataclass
class Found:
    chains: dict[str, End] = field(default_factory=dict)
    wrong: str = ""
    """A sentence about the first record that is not as it was written; empty: all are."""


def check(lines: Iterable[bytes]) -> Found:
    """Follow all chains, as far as the first thing that is wrong."""
    found = Found()
    held = list(_records(lines))
    places = {(record["chain"], record["number"]): line for line, record in held}
    for line, record in held:
        chain = found.chains.setdefault(record["chain"], End(record["chain"]))
        found.wrong = _wrong(line, record, chain, places)
        if found.wrong:
            return found
        chain.number, chain.hash = record["number"], record["hash"]
    return found


def _records(lines: Iterable[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number of the line, from 1, and record of each line that has one."""
    for number, line in enumerate(lines, 1):
        start = line.find(b'{"audit"')
        if start < 0:
            continue
        try:
            record, _ = json.JSONDecoder().raw_decode(line[start:].decode())
        except ValueError:
            continue  # a line that was damaged: its record will be missing
        record = record["audit"]
        if isinstance(record, dict) and isinstance(record.get("chain"), str) and type(record.get("number")) is int:
            yield number, record


def _wrong(line: int, record: dict[str, Any], chain: End, places: dict[tuple[str, int], int]) -> str:
    number, due = record["number"], chain.number + 1
    this = f"record {number} of chain {chain.name} (line {line})"
    if digest(record) != record.get("hash"):
        return f"{this} was changed: its hash is not that of what it says"
    if number < due:
        return f"{this} stands there a second time, or was moved: record {due} was to come"
    if number > due:
        moved = places.get((chain.name, due))
        if moved:
            return f"record {due} of chain {chain.name} was moved: it stands in line {moved}, after record {number}"
        return f"record {due} of chain {chain.name} is missing: record {number} comes in its place, in line {line}"
    if record.get("previous") != chain.hash:
        return f"{this} does not go on from the record before: that one was made anew, or this one"
    return ""
