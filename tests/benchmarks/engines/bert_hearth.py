"""Hearth: a text's labels and scores through the function of text-classification."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.engines.turns import pin, repeated, serve

if __name__ == "__main__":
    folder, threads, texts = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    pin(threads)

    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth_functions.text_classification.app import Request, predict

    model = Model(parse((folder / "manifest.json").read_bytes()), folder, threads)
    serve(lambda: repeated(lambda: predict(model, Request(texts)).output))
