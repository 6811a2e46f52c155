"""What the evaluations of tasks that write texts share: pairs of texts, batches, and the difference of two texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.recipe import Example


def read_pairs(path: Path, data_format: str) -> list[Example]:
    """Lines of `input<TAB>output`. Raises DataError, which describes `data_format`."""
    if not path.is_file():
        raise DataError(f"{path} must be {data_format}.")
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [Example(source.strip(), target.strip()) for source, target in lines]
    except ValueError as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {data_format}.") from None


def write_texts(function: ModuleType, model: Any, texts: Sequence[str]) -> list[str]:
    """Outputs in the order of `texts`. Texts of similar length are processed together."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parameters = function.Parameters(truncation="longest_first")
    outputs = [""] * len(texts)
    for start in range(0, len(order), model.manifest.limits.batch):
        indices = order[start : start + model.manifest.limits.batch]
        request = function.Request([texts[index] for index in indices], parameters)
        for index, item in zip(indices, function.predict(model, request).output, strict=True):
            outputs[index] = getattr(item, item.__struct_fields__[0])
    return outputs


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    from sacrebleu.metrics import CHRF

    return float(CHRF(lowercase=True).corpus_score(list(outputs), [list(references)]).score)


def difference(first: str, second: str) -> float:
    """1 less the chrF of the two texts: 0 if they are equal, 1 if they have nothing in common."""
    if first == second:
        return 0.0
    from sacrebleu.metrics import CHRF

    return float(1 - CHRF().sentence_score(second, [first]).score / 100)


def summarize(text: str) -> str:
    return text
