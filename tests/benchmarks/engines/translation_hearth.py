"""Hearth: a text's translation through the function of translation."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.engines.turns import pin, repeated, serve

if __name__ == "__main__":
    folder, threads, new, beams, texts = Path(sys.argv[1]), *map(int, sys.argv[2:5]), sys.argv[5:]
    pin(threads)

    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth_functions.translation.app import Parameters, Request, predict

    model = Model(parse((folder / "manifest.json").read_bytes()), folder, threads)
    request = Request(texts, Parameters(max_new_tokens=new, num_beams=beams))
    serve(lambda: repeated(lambda: predict(model, request).output))
