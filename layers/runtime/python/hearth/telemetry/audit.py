"""The audit: a record per answer, each with the hash of the one before, so that none can be changed or left out.

`HEARTH_AUDIT` is `file:///path`, which is only ever appended to, or `log`: then records are lines of the log stream.
A process begins a chain of its own, under a random name. A record never holds what was sent or answered: of the
input it has the digest. Nothing in a chain keeps somebody who may write the file from making all of it anew, or from
cutting its end off; for that, keep what `hearth audit` prints of each chain's end, or the file, where he cannot write.
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
from hearth.telemetry.timing import Trace, current

FIRST = "0" * 64
"""What the first record of a chain has as the hash of the one before."""


def seen(body: bytes) -> None:
    """Note for the audit what the request, whose trace this is, has sent."""
    if settings.get().audit:
        current().input = hashlib.sha256(body).hexdigest()


def digest(record: dict[str, Any]) -> str:
    """The hash of a record: SHA-256 of its JSON with sorted names, without blanks and without `hash` itself."""
    told = {name: value for name, value in record.items() if name != "hash"}
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class Chain:
    """Records of one process, in the order in which they are written."""

    def __init__(self, where: str) -> None:
        self._path = where.removeprefix("file://") if where.startswith("file://") else ""
        self._name = secrets.token_hex(8)
        self._last, self._number = FIRST, 0
        self._lock = threading.Lock()

    def add(self, facts: dict[str, Any]) -> None:
        """Raises OSError; the chain then has a gap, which its check names."""
        with self._lock:
            self._number += 1
            record = {"chain": self._name, "number": self._number, **facts, "previous": self._last}
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
def chain(where: str) -> Chain:
    """The chain of this process; it begins with the first record, so that environments of one snapshot share none."""
    return Chain(where)


def record(
    trace: Trace,
    *,
    request_id: str,
    status: int,
    trigger: str,
    failure: HearthError | None,
    ms: float,
    dollars: float | None,
) -> None:
    """Write the record of an answer, where HEARTH_AUDIT says so. Raises OSError."""
    try:
        where = settings.get().audit
    except SettingsError:  # which is what the answer says
        return
    if not where:
        return
    facts = trace.facts
    model, version = facts.get("model"), facts.get("version")
    made_of, signed_by = _artifact(str(model), str(version)) if model else (None, None)
    chain(where).add(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": request_id,
            "trigger": trigger,
            "tenant": facts.get("tenant"),
            "model": model,
            "version": version,
            "model_sha256": made_of,
            "signed_by": signed_by,
            "input_sha256": trace.input or None,
            "status": status,
            "error": failure.code if failure else None,
            "ms": ms,
            "dollars": dollars,
        }
    )


def _artifact(model: str, version: str) -> tuple[str | None, str | None]:
    """SHA-256 of the manifest's bytes, and the name of the key that signed it, if any did."""
    from hearth.models.cache import warm
    from hearth.models.registry import Ref

    return warm().registry.origin(Ref(model, version))
