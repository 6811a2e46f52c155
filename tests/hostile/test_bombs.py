"""The short form of `python -m tests.hostile.bombs`: files refused at once, and two files that need memory."""

from __future__ import annotations

import subprocess
import sys

from tests.hostile.bombs.films import FILMS
from tests.hostile.bombs.pictures import PICTURES
from tests.hostile.bombs.sounds import SOUNDS
from tests.hostile.bombs.texts import TEXTS
from tests.support import ROOT

LONG_FORM_ONLY = """png: 16 bits of RGBA, as large as allowed
png: 16 bits of grey, as large as allowed
png: a palette, as large as allowed
png: a row of sixteen million
jpeg: 4000 x 4000 of one block
jpeg: thousands of scans
jpeg: thousands of scans in an MPO
jpeg: 90 scans of 4000 x 4000
jpeg: 4000 x 4000 without its end
tiff: as large as allowed
heic: as large as allowed
avif: as large as allowed
mpegts: frames of 12 million pixels
mkv: a stream of 4000 x 3000
mkv: 2500 frames
m4a: 601 seconds
gif: 2000 frames
flac: 601 seconds
flac: 200 seconds of 48 kHz in stereo
mp4: as large as allowed
mp4: frames of 12 million pixels
mp4: 2500 frames
json: a gigabyte as gzip
json: 200000 keys
a list: 32 pictures of a million pixels""".splitlines()
"""Names of the files that only the long form sends."""
MINIMUM_MEGABYTES = 60
"""Memory that a picture of sixteen million pixels needs at least; less would mean that measuring failed."""


def test_hostile_files_need_little_memory() -> None:
    names = [name for files in (PICTURES, SOUNDS, FILMS, TEXTS) for name in files if name not in LONG_FORM_ONLY]
    arguments = [argument for name in names for argument in ("--only", name)]
    process = subprocess.run(
        [sys.executable, "-m", "tests.hostile.bombs", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=400
    )
    assert process.returncode == 0, process.stdout[-5000:] + process.stderr[-2000:]
    rows = [line.strip("| ").split(" | ") for line in process.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == names
    assert len(rows) >= 90
    assert float(next(row[3] for row in rows if row[0] == "png: RGBA, as large as allowed")) > MINIMUM_MEGABYTES
