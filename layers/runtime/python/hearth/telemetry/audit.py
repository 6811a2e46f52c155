"""The audit log: one record per response, with the hash of the previous record, so that changes and gaps are detected.

`HEARTH_AUDIT` is `file:///path`, a file to which records are appended, or `log` for lines in the log stream. Each
process begins its own chain with a random name. Records have no inputs or outputs, only the digest of the input. A
streamed response has a record at its start and one at its end, so a process that dies in between leaves a trace.

A chain does not protect against someone with write access who replaces the whole file or truncates it. For this, store
the last hash of each chain, which `hearth audit` prints, or the file itself, where they have no write access.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from hearth import settings
from hearth.errors import HearthError, SettingsError
from hearth.telemetry.timing import Timing, current

FIRST = "0" * 64
"""The previous hash in the first record of a chain."""


def record_input(body: bytes) -> None:
    """Store the digest of the current request's input, if the audit log is enabled."""
    if settings.get().audit:
        current().input_sha256 = hashlib.sha256(body).hexdigest()


def digest(record: dict[str, Any]) -> str:
    """The hash of a record: SHA-256 of its JSON with sorted keys, without spaces and without `hash`."""
    hashed = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Chain:
    """The audit records of one process, in the order in which they are written."""

    def __init__(self, destination: str) -> None:
        self._path = destination.removeprefix("file://") if destination.startswith("file://") else ""
        self._name = secrets.token_hex(8)
        self._last, self._number = FIRST, 0
        self._lock = threading.Lock()

    def add(self, fields: dict[str, Any]) -> None:
        """Append a record. Raises OSError; then the chain has a gap, which `hearth audit` reports."""
        with self._lock:
            self._number += 1
            record = {"chain": self._name, "number": self._number, **fields, "previous": self._last}
            self._last = record["hash"] = digest(record)
            line = json.dumps({"audit": record}) + "\n"
            if self._path:
                _append(self._path, line.encode())
            else:
                sys.stdout.write(line)
                sys.stdout.flush()


def _append(path: str, line: bytes) -> None:
    """Append a line in a single write, which is atomic among processes.

    Raises OSError, also if there is space for a part of the line only.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)


@cache
def chain(destination: str) -> Chain:
    """The chain of this process. It is created with its first record, so environments of one snapshot do not share
    it."""
    return Chain(destination)


def record(
    timing: Timing,
    ms: float,
    dollars: float | None,
    *,
    request_id: str,
    status: int,
    trigger: str,
    failure: HearthError | None,
    phase: Literal["start", "end"] = "end",
) -> None:
    """Write the record of a response, if HEARTH_AUDIT is set. Raises OSError."""
    try:
        destination = settings.get().audit
    except SettingsError:  # the response has this error
        return
    if not destination:
        return
    model_sha256, signed_by = timing.artifact
    chain(destination).add(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "phase": phase,
            "trigger": trigger,
            "tenant": timing.fields.get("tenant"),
            "model": timing.fields.get("model"),
            "version": timing.fields.get("version"),
            "model_sha256": model_sha256,
            "signed_by": signed_by,
            "input_sha256": timing.input_sha256 or None,
            "status": status,
            "error": failure.code if failure else None,
            "ms": ms,
            "dollars": dollars,
            **({"trace_id": timing.trace.trace_id} if timing.trace else {}),
        }
    )
