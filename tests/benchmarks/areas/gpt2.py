"""GPT-2 124M: tokens of a text, one after another.

Every way continues a text greedily and yields the decoded tokens one at a time. `prefill` is the time until the first
token, `seconds` that of each further one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tests.benchmarks import text_peers as peers
from tests.benchmarks.area import Case, Way
from tests.benchmarks.text_models import gpt2, text

NEW = "48"
"""Tokens to generate."""
FIGURES = {"decode": ("seconds", 16, {1: 3.8, 2: 4.2}), "prefill": ("prefill", 128, {1: 3.3, 2: 3.3})}
"""The figure, the tokens of the prompt, and the aims by number of threads."""


def cases(work: Path) -> Sequence[Case]:
    model, blocks = gpt2(work), gpt2(work, "int4")
    return [case(model, blocks, phase, threads) for phase, threads in product(FIGURES, (1, 2))]


def case(model: Path, blocks: Path, phase: str, threads: int) -> Case:
    figure, tokens, aims = FIGURES[phase]
    checkpoint, tokenizer = model / "checkpoint", model / "tokenizer.json"
    # Measuring the prefill needs no long continuation.
    arguments = (NEW if phase == "decode" else "2", text(checkpoint, tokens))

    def ours(work: Path) -> Way:
        command = peers.hearth("gpt2_hearth", work / "artifact", str(threads), *arguments)
        return peers.way("Hearth int8" if work == model else "Hearth 4-bit blocks", lambda: command)

    return Case(
        name=f"{phase}, prompt of {tokens} tokens, {threads} thread{'s' if threads > 1 else ''}",
        ways=[
            ours(model),
            ours(blocks),
            peers.way(
                "ONNX Runtime fp32, cache copied",
                lambda: peers.onnxruntime(
                    "gpt2_onnxruntime", peers.with_cache(checkpoint), tokenizer, str(threads), *arguments
                ),
            ),
            peers.way(
                "CTranslate2 int8",
                lambda: peers.ctranslate2("gpt2_ctranslate2", checkpoint, tokenizer, str(threads), "int8", *arguments),
            ),
            *(
                peers.way(
                    name,
                    lambda work=work: peers.genai("gpt2_genai", work / "artifact", tokenizer, str(threads), *arguments),
                )
                for name, work in (("genai int8", model), ("genai 4-bit blocks", blocks))
            ),
            *(
                peers.way(
                    f"llama.cpp {kind}",
                    lambda kind=kind: peers.llamacpp(
                        "gpt2_llamacpp", checkpoint, kind, tokenizer, str(threads), *arguments
                    ),
                )
                for kind in ("q8_0", "q4_0")
            ),
            peers.way(
                "transformers fp32",
                lambda: peers.transformers("gpt2_transformers", checkpoint, str(threads), *arguments),
            ),
        ],
        baseline="ONNX Runtime fp32, cache copied",
        aim=aims[threads],
        speedup=True,
        figure=figure,
        limit="onnxruntime-genai 3.8 / 4.3, CTranslate2 3.9 where the processor has VNNI; reading the weights",
    )
