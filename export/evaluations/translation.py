"""translation: BLEU and chrF on pairs of texts, both computed by sacrebleu on lower-cased texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hearth_build.evaluations.written_texts import chrf, difference, read_pairs, summarize, write_texts
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.translation import app

DATA_FORMAT = "a .tsv file of `source<TAB>translation`"
TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}
"""Tokenizers of sacrebleu by language. All other languages use 13a."""


def read(path: Path) -> list[Example]:
    return read_pairs(path, DATA_FORMAT)


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    translations = translate(model, [with_language_token(model, example) for example in examples])
    references = [[str(example.expected) for example in examples]]
    language = next(iter(model.manifest.head.target), "").partition("-")[0]
    from sacrebleu.metrics import BLEU  # not needed to replay golden answers

    bleu = BLEU(lowercase=True, tokenize=TOKENIZERS.get(language, "13a"))
    return {
        "BLEU": bleu.corpus_score(translations, references).score,
        "chrF": chrf(translations, references[0]),
    }


def with_language_token(model: Any, example: Example) -> str:
    """The source, with the language token of the reference's script if the model can write several scripts."""
    from hearth_build.data.translation import language_token, scripts  # it imports torch

    targets = [script for script in scripts(str(example.expected)) if script in model.manifest.head.target]
    if not targets or example.inputs.startswith(">>"):
        return str(example.inputs)
    return f"{language_token(targets[0])} {example.inputs}"


def translate(model: Any, texts: Sequence[str]) -> list[str]:
    return write_texts(app, model, texts)


def predict(model: Any, inputs: str) -> str:
    return translate(model, [inputs])[0]


EVALUATION = Evaluation("BLEU", True, DATA_FORMAT, read, measure, predict, difference, summarize)
