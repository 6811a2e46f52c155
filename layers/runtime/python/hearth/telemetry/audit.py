"""The audit: a record per answer, each with the hash of the one before, so that none can be changed or left out.

`HEARTH_AUDIT` is `file:///path`, a file that is only ever appended to, or `log`: then records are lines of the log
stream. Each process begins a chain of its own, under a random name. A record never holds what was sent or answered; of
the input it has the digest.

Nothing in a chain stops somebody who may write the file from making all of it anew, or from cutting its end off.
Against that, keep the end of each chain, which `hearth audit` prints, or the file itself, where they cannot write.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hearth import settings
from hearth.errors import HearthError, SettingsError
from hearth.telemetry.timing import Timing, current

FIRST = "0" * 64
"""What the first record of a chain has as the hash of the one before."""


def record_input(body: bytes) -> None:
    """Note the digest of what the current request sent, where an audit is kept."""
    if settings.get().audit:
        current().input_sha256 = hashlib.sha256(body).hexdigest()


def digest(record: dict[str, Any]) -> str:
    """The hash of a record: SHA-256 of its JSON with sorted names and without blanks, `hash` itself left out."""
    hashed = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Chain:
    """Records of one process, in the order in which they are written."""

    def __init__(self, destination: str) -> None:
        self._path = destination.removeprefix("file://") if destination.startswith("file://") else ""
        self._name = secrets.token_hex(8)
        self._last, self._number = FIRST, 0
        self._lock = threading.Lock()

    def add(self, fields: dict[str, Any]) -> None:
        """Raises OSError; the chain then has a gap, which its check names."""
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
    """In one write, which no other process's can divide."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


@cache
def chain(destination: str) -> Chain:
    """The chain of this process. It begins with the first record, so that environments of one snapshot share none."""
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
) -> None:
    """Write the record of an answer, where HEARTH_AUDIT says so. Raises OSError."""
    try:
        destination = settings.get().audit
    except SettingsError:  # which is what the answer says
        return
    if not destination:
        return
    model_sha256, signed_by = timing.artifact
    chain(destination).add(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
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
        }
    )
