"""translation: BLEU and chrF on pairs of texts, both computed by sacrebleu on lower-cased texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sacrebleu.metrics import BLEU, CHRF

from hearth_build.data.datasets import DataError
from hearth_build.data.translation import language_token, scripts
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.translation import app

DATA_FORMAT = "a .tsv file of `source<TAB>translation`"
TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}
"""Tokenizers of sacrebleu by language. All other languages use 13a."""


def read(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(f"{path} must be {DATA_FORMAT}.")
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [Example(source.strip(), target.strip()) for source, target in lines]
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    translations = translate(model, [with_language_token(model, example) for example in examples])
    references = [[str(example.expected) for example in examples]]
    language = next(iter(model.manifest.head.target), "").partition("-")[0]
    bleu = BLEU(lowercase=True, tokenize=TOKENIZERS.get(language, "13a"))
    chrf = CHRF(lowercase=True)
    return {
        "BLEU": bleu.corpus_score(translations, references).score,
        "chrF": chrf.corpus_score(translations, references).score,
    }


def with_language_token(model: Any, example: Example) -> str:
    """The source, with the language token of the reference's script if the model can write several scripts."""
    targets = [script for script in scripts(str(example.expected)) if script in model.manifest.head.target]
    if not targets or example.inputs.startswith(">>"):
        return str(example.inputs)
    return f"{language_token(targets[0])} {example.inputs}"


def translate(model: Any, texts: Sequence[str]) -> list[str]:
    """Translations in the order of `texts`. Texts of similar length are translated together."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parameters = app.Parameters(truncation="longest_first")
    translations = [""] * len(texts)
    for start in range(0, len(order), model.manifest.limits.batch):
        indices = order[start : start + model.manifest.limits.batch]
        request = app.Request([texts[index] for index in indices], parameters)
        for index, translation in zip(indices, app.predict(model, request).output, strict=True):
            translations[index] = translation.translation_text
    return translations


def predict(model: Any, inputs: str) -> str:
    return translate(model, [inputs])[0]


def difference(first: str, second: str) -> float:
    """1 less the chrF of the two texts: 0 if they are equal, 1 if they have nothing in common."""
    return 0.0 if first == second else 1 - CHRF().sentence_score(second, [first]).score / 100


def summarize(text: str) -> str:
    return text


EVALUATION = Evaluation("BLEU", True, DATA_FORMAT, read, measure, predict, difference, summarize)
