"""translation: BLEU and chrF (sacrebleu, both lower-cased) on pairs of texts."""

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

FORM = "a .tsv file of `source<TAB>translation`"
TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}
"""Of sacrebleu, by language; others have words between spaces."""


def read(path: Path) -> list[Example]:
    if not path.is_file():
        raise DataError(f"{path} must be {FORM}.")
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [Example(source.strip(), target.strip()) for source, target in lines]
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {FORM}.") from None


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    found = translated(model, [asked(model, example) for example in examples])
    wanted = [[str(example.expected) for example in examples]]
    language = next(iter(model.manifest.head.target), "").partition("-")[0]
    bleu = BLEU(lowercase=True, tokenize=TOKENIZERS.get(language, "13a"))
    chrf = CHRF(lowercase=True)
    return {"BLEU": bleu.corpus_score(found, wanted).score, "chrF": chrf.corpus_score(found, wanted).score}


def asked(model: Any, example: Example) -> str:
    """A source whose language token asks for the reference's own script, where the model writes several."""
    written = [script for script in scripts(str(example.expected)) if script in model.manifest.head.target]
    if not written or example.inputs.startswith(">>"):
        return str(example.inputs)
    return f"{language_token(written[0])} {example.inputs}"


def translated(model: Any, texts: Sequence[str]) -> list[str]:
    """In the order of `texts`; those of like lengths go together."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parameters = app.Parameters(truncation="longest_first")
    found = [""] * len(texts)
    for start in range(0, len(order), model.manifest.limits.batch):
        indices = order[start : start + model.manifest.limits.batch]
        request = app.Request([texts[index] for index in indices], parameters)
        for index, one in zip(indices, app.predict(model, request).output, strict=True):
            found[index] = one.translation_text
    return found


def answer(model: Any, inputs: str) -> str:
    return translated(model, [inputs])[0]


def difference(one: str, other: str) -> float:
    """0: the same, 1: nothing in common, by chrF."""
    return 0.0 if one == other else 1 - CHRF().sentence_score(other, [one]).score / 100


def brief(text: str) -> str:
    return text


EVALUATION = Evaluation("BLEU", True, FORM, read, measure, answer, difference, brief)
