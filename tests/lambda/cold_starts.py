"""Cold starts of the shared function beside those of a dedicated one: `python -m tests.lambda.cold_starts [STARTS]`.

Both start in turn under Lambda's emulator, with a small model in a local S3, so noise meets them equally.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.artifacts import make_text_artifact
from tests.support.emulator import Emulator
from tests.support.layers import SHARED
from tests.support.record import record
from tests.support.requests import rest_event
from tests.support.s3 import folder_s3

MODEL = "sentiment-en"
EVENT = rest_event("POST", f"/models/{MODEL}", json.dumps({"inputs": "a wonderful film"}))
FUNCTIONS = {"text_classification": {"HEARTH_MODELS": MODEL}, SHARED: {}}
"""The functions and their variables."""


def start(function: str, environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds of the initialization, and from the first event to its response, initialization included."""
    with Emulator.of(function, environment | FUNCTIONS[function]) as emulator:
        started = time.perf_counter()
        response = emulator.invoke(EVENT)
        milliseconds = (time.perf_counter() - started) * 1000
        assert response.payload["statusCode"] == 200, response.raw
        found = re.search(r"INIT REPORT\(durationMs: ([\d.]+)", emulator.log)
        assert found, emulator.log
        return float(found[1]), milliseconds


def main() -> None:
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    times: dict[str, list[tuple[float, float]]] = {function: [] for function in FUNCTIONS}
    with tempfile.TemporaryDirectory() as folder:
        make_text_artifact(Path(folder) / "bucket", MODEL)
        with folder_s3(Path(folder)) as server:
            environment = {"AWS_ENDPOINT_URL": server.url, "HEARTH_STORE": "s3://bucket"}
            for _ in range(starts):
                for function, rows in times.items():
                    rows.append(start(function, environment))
    medians = {
        function: [statistics.median(column) for column in zip(*rows, strict=True)] for function, rows in times.items()
    }
    lines = ["| function | initialization, ms | first response, ms |", "|---|---:|---:|"]
    lines += [f"| {function} | {init:.0f} | {first:.0f} |" for function, (init, first) in medians.items()]
    ratios = [shared / own for shared, own in zip(medians[SHARED], medians["text_classification"], strict=True)]
    lines += ["", f"Medians of {starts} starts each. The shared function takes {ratios[0]:.2f} times as long until it"]
    lines[-1] += f" waits for events, before any model is read, and {ratios[1]:.2f} times to its first response."
    record("Cold starts of the shared function", "python -m tests.lambda.cold_starts", "\n".join(lines))


if __name__ == "__main__":
    main()
