"""Hearth: a picture's labels or boxes through the function of its task."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.engines.turns import pin, repeated, serve

if __name__ == "__main__":
    folder, kind, threads, picture = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]).read_bytes()
    pin(threads)

    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth_functions.image_classification import app as labels
    from hearth_functions.object_detection import app as boxes

    model = Model(parse((folder / "manifest.json").read_bytes()), folder, threads)
    if kind == "labels":
        serve(lambda: repeated(lambda: labels.predict(model, labels.Request(picture)).output))
    else:
        serve(lambda: repeated(lambda: boxes.predict(model, boxes.Request(picture)).output))
