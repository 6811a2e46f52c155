"""BERT-base: labels of texts, tokens counted in and classes out.

Every way turns texts into scores, tokenizer included. CTranslate2 has the pooler but takes no attention mask, which
shorter texts of a batch would need: all texts of a case have the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from tests.benchmarks import text_peers as peers
from tests.benchmarks.area import Case
from tests.benchmarks.text_models import bert, text

SIZES = ((32, 1), (128, 1), (384, 1), (32, 8))
"""Tokens per text, and number of texts."""
AIMS = {1: 4.0, 2: 3.4}
"""Ratios to reach, by number of threads."""


def cases(work: Path) -> Sequence[Case]:
    model = bert(work)
    return [case(model, *size, threads) for size, threads in product(SIZES, AIMS)]


def case(model: Path, tokens: int, texts: int, threads: int) -> Case:
    checkpoint, tokenizer = model / "checkpoint", model / "tokenizer.json"
    inputs = [text(checkpoint, tokens - 2, seed) for seed in range(texts)]
    ours = peers.hearth("bert_hearth", model / "artifact", str(threads), *inputs)
    arguments = (tokenizer, str(threads), *inputs)
    return Case(
        name=f"{tokens} tokens{f' × {texts} texts' if texts > 1 else ''}, {threads} thread{'s' if threads > 1 else ''}",
        ways=[
            peers.way("Hearth int8", lambda: ours),
            peers.way(
                "ONNX Runtime fp32",
                lambda: peers.onnxruntime("bert_onnxruntime", peers.exported(checkpoint), *arguments),
            ),
            peers.way(
                "CTranslate2 int8",
                lambda: peers.ctranslate2("bert_ctranslate2", checkpoint, tokenizer, str(threads), "int8", *inputs),
            ),
            peers.way("OpenVINO fp32", lambda: peers.openvino("bert_openvino", peers.exported(checkpoint), *arguments)),
            peers.way(
                "OpenVINO int8", lambda: peers.openvino("bert_openvino", peers.calibrated(checkpoint), *arguments)
            ),
            peers.way(
                "torch dynamic int8",
                lambda: peers.transformers("bert_transformers", checkpoint, str(threads), "int8", *inputs),
            ),
        ],
        baseline="ONNX Runtime fp32",
        aim=AIMS[threads],
        speedup=True,
        limit="CTranslate2 4.4, OpenVINO 3.8 where the processor has VNNI",
    )
