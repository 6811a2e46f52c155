"""Hearth: an artifact's files from the store, each byte checked against its SHA-256."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from hearth.models.download import fetch
from hearth.models.manifest import parse
from hearth.storage.open import open_store
from tests.benchmarks.engines.turns import serve

if __name__ == "__main__":
    store, prefix = open_store("s3://bucket"), sys.argv[1]
    files = parse(store.get(f"{prefix}/manifest.json")).files

    def turn() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            started, processor = time.perf_counter(), time.process_time()
            fetch(store, prefix, files, Path(folder), time.monotonic() + 600)
            return {"seconds": time.perf_counter() - started, "processor": time.process_time() - processor}

    serve(turn)
