"""Writes the sketches of this process to HEARTH_WATCH: `<model>/<version>/<hour>/<process>.json`.

A request that comes SECONDS after the last write starts a thread that writes while the request is answered, so that no
request waits for it. What a process saw after its last write is lost when it is killed; `hearth serve` writes at its
end.
"""

from __future__ import annotations

import secrets
import threading
import time
from datetime import UTC, datetime

from hearth import settings
from hearth.errors import HearthError
from hearth.models.manifest import Manifest
from hearth.storage.open import open_store
from hearth.telemetry import sketches
from hearth.telemetry.log import logger, write_measurement

SECONDS = 60.0


class SketchWriter:
    def __init__(self) -> None:
        self._due = 0.0
        self._process = ""
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        """Held by a write, so that it never puts older counts in the place of newer ones."""

    def start_if_due(self, manifest: Manifest) -> None:
        """Start a write in a thread, if HEARTH_WATCH is set, the last one was started SECONDS ago and has ended.
        `manifest` is that of the request's model, whose drift is reported."""
        now = time.monotonic()
        if now < self._due or self._writing.locked() or not settings.get().watch:
            return
        with self._lock:
            if now < self._due:
                return
            self._due = now + SECONDS
        threading.Thread(target=self._write_and_report, args=(manifest,), name="sketches", daemon=True).start()

    def _write_and_report(self, manifest: Manifest) -> None:
        self.write()
        if manifest.reference is None:
            return
        drift = sketches.drift(manifest.reference.counts, sketches.recent(manifest.model, manifest.version))
        if drift:
            rounded = {name: round(value, 4) for name, value in drift.items()}
            write_measurement("drift", manifest.model, manifest.version, {"psi": rounded}, Drift=max(drift.values()))

    def write(self) -> None:
        """Write the windows that changed. Those that cannot be written are tried again later."""
        if settings.get().watch:
            with self._writing:
                self._write()

    def _write(self) -> None:
        # Not at import: environments that start from one snapshot must have different names.
        self._process = self._process or secrets.token_hex(8)
        store, windows = open_store(settings.get().watch), sketches.take_unwritten()
        failed: dict[sketches.Key, str] = {}
        for (model, version, hour), data in windows.items():
            try:
                store.put(f"{model}/{version}/{hour_name(hour)}/{self._process}.json", data)
            except HearthError as error:
                failed[model, version, hour] = error.code
        if failed:
            sketches.give_back(set(failed))
            logger().error("sketches not written", extra={"reason": next(iter(failed.values()))})


def hour_name(hour: int) -> str:
    """An hour since 1970 as 2026-11-30T16, in UTC."""
    return datetime.fromtimestamp(hour * sketches.HOUR, UTC).strftime("%Y-%m-%dT%H")


WRITER = SketchWriter()
"""The writer of this process."""
