"""Memory and time of object tracking by length: `python -m tests.benchmarks.tracking [--artifact FOLDER]`.

Films of 640 x 480 pixels with 8, 100 and 400 frames, each in a process of its own, with the drawn video and the contact
sheet; by default through a detector of bright squares, so that the frames' own memory shows. Writes
`results/tracking.md` beside this file, and fails where 400 frames take BOUND more memory than 100.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.functions.films import HEIGHT, WIDTH, film, frames, make_squares

HERE = Path(__file__).parent
LENGTHS = (8, 100, 400)
SIZE = (640, 480)
BOUND = 32.0
"""MB; 300 frames of that size are 276 MB."""


def make_film(count: int) -> bytes:
    """Squares that move."""
    columns = np.arange(SIZE[0]) * WIDTH // SIZE[0]
    rows = np.arange(SIZE[1]) * HEIGHT // SIZE[1]
    return film([small[rows][:, columns] for small in frames(count)], rate=25)


def measure(artifact: Path, path: Path) -> dict[str, float]:
    """In this process: the answer's frames and tracks, its processor time, and the highest resident memory."""
    from functions.object_tracking import app
    from hearth.manifest import parse
    from hearth.model import Model

    model = Model(parse((artifact / "manifest.json").read_bytes()), artifact, threads=1)
    started = time.process_time()  # of all threads: others may be at work here
    request = app.Request(path.read_bytes(), app.Parameters(annotate=True, contact_sheet=True))
    answer = app.answer(model, request)
    seconds = time.process_time() - started
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return {
        "frames": answer.frames,
        "tracks": len(answer.tracks or []),
        "ms": 1000 * seconds / answer.frames,
        "MB": int(peak[1]) / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--artifact", type=Path, help="A detector's folder with manifest.json.")
    parser.add_argument("--film", type=Path, help="Measure this film alone, in this process.")
    chosen = parser.parse_args()
    if chosen.film:
        print(json.dumps(measure(chosen.artifact, chosen.film)))
        return
    lines = ["| frames | tracks | processor ms a frame | peak memory, MB |", "|---|---|---|---|"]
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        artifact = chosen.artifact or make_squares(Path(name))
        for count in LENGTHS:
            path = Path(name) / f"{count}.mp4"
            path.write_bytes(make_film(count))
            command = [sys.executable, "-m", "tests.benchmarks.tracking", "--artifact", artifact, "--film", path]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            peaks.append(found["MB"])
            lines.append(f"| {found['frames']} | {found['tracks']} | {found['ms']:.1f} | {found['MB']:.0f} |")
    report = f"{artifact.parent.name}, {SIZE[0]} x {SIZE[1]}, drawn video and contact sheet, {platform.machine()}\n\n"
    report += "\n".join(lines) + f"\n\n400 frames take {peaks[-1] - peaks[1]:.0f} MB more than 100.\n"
    print(report)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results/tracking.md").write_text("# Object tracking by length of the film\n\n" + report)
    if peaks[-1] - peaks[1] > BOUND:
        sys.exit(f"more than {BOUND:.0f} MB")


if __name__ == "__main__":
    main()
