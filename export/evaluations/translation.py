"""translation: BLEU and chrF on pairs of texts, both computed by sacrebleu on lower-cased texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hearth_build.data import parallel_texts
from hearth_build.evaluations.written_texts import chrf, corpus_score, difference, summarize, write_texts
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.translation import app

DATA_FORMAT = parallel_texts.data_format(parallel_texts.TRANSLATION, parallel=True)
TOKENIZERS = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}
"""Tokenizers of sacrebleu by language. All other languages use 13a."""


def outputs_of(model: Any, examples: Sequence[Example]) -> Sequence[str]:
    return translate(model, [with_language_token(model, example) for example in examples])


def score(model: Any, examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, float]:
    return bleu_and_chrf(next(iter(model.manifest.head.target), ""), examples, outputs)


def bleu_and_chrf(language: str, examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, float]:
    """The metrics of translations into a language, of which the code is given."""
    references = [str(example.expected) for example in examples]
    tokenizer = TOKENIZERS.get(language.partition("-")[0], "13a")
    return {"BLEU": corpus_score("BLEU", outputs, references, tokenizer), "chrF": chrf(outputs, references)}


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


EVALUATION = Evaluation(
    "BLEU",
    True,
    DATA_FORMAT,
    parallel_texts.read,
    measure_by(outputs_of, score),
    predict,
    difference,
    summarize,
    outputs_of,
    score,
)
