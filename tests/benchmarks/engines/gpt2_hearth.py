"""Hearth: a text's tokens as the function of text-generation streams them."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.benchmarks.engines.turns import pin, serve, token_by_token

if __name__ == "__main__":
    folder, threads, new, text = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    pin(threads)

    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth_functions.text_generation.app import Parameters, Request, stream

    model = Model(parse((folder / "manifest.json").read_bytes()), folder, threads)
    request = Request(text, Parameters(max_new_tokens=new))
    serve(lambda: token_by_token(stream(model, request)))
