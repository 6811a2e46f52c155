"""Translation by a network of opus-mt's shape, with beams.

Every way turns texts into texts, tokenizer included. No sentence ends before the requested length.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tests.benchmarks import text_peers as peers
from tests.benchmarks.area import Case
from tests.benchmarks.text_models import marian, text

SIZES = ((24, 1), (24, 8))
"""Tokens per source and translation, and number of texts."""
BEAMS = "5"


def cases(work: Path) -> Sequence[Case]:
    model = marian(work)
    return [case(model, *size, threads) for size, threads in product(SIZES, (1, 2))]


def case(model: Path, tokens: int, texts: int, threads: int) -> Case:
    checkpoint, tokenizer = model / "checkpoint", model / "tokenizer.json"
    inputs = [text(checkpoint, tokens - 1, seed) for seed in range(texts)]
    arguments = (str(threads), str(tokens), BEAMS, *inputs)
    ours = peers.hearth("translation_hearth", model / "artifact", *arguments)
    return Case(
        name=f"{texts} text{'s' if texts > 1 else ''} of {tokens} tokens, {BEAMS} beams, "
        f"{threads} thread{'s' if threads > 1 else ''}",
        ways=[
            peers.way("Hearth int8", lambda: ours),
            peers.way(
                "transformers fp32",
                lambda: peers.transformers("translation_transformers", checkpoint, tokenizer, *arguments),
            ),
            peers.way(
                "CTranslate2 int8",
                lambda: peers.ctranslate2("translation_ctranslate2", checkpoint, tokenizer, "int8", *arguments),
            ),
        ],
        baseline="transformers fp32",
        speedup=True,
        limit="CTranslate2 int8: ahead of it or within 1.1",
    )
