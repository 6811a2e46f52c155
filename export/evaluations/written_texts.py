"""What the evaluations of tasks that write texts share: outputs in batches, corpus metrics, the difference of texts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric


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


@lru_cache
def metric_of(name: str, tokenizer: str = "") -> Metric:
    """A metric of sacrebleu, on lower-cased texts."""
    from sacrebleu.metrics import BLEU, CHRF  # not needed to replay golden answers

    return BLEU(lowercase=True, tokenize=tokenizer) if name == "BLEU" else CHRF(lowercase=True)


@lru_cache(maxsize=100_000)
def statistics(name: str, tokenizer: str, output: str, reference: str) -> tuple[int, ...]:
    """What a corpus score is computed from, for one text; a bootstrap would compute it again for each sample."""
    return tuple(metric_of(name, tokenizer)._extract_corpus_statistics([output], [[reference]])[0])


def corpus_score(name: str, outputs: Sequence[str], references: Sequence[str], tokenizer: str = "") -> float:
    """A score of all texts together, 0 to 100, as `corpus_score` of sacrebleu."""
    rows = [statistics(name, tokenizer, *pair) for pair in zip(outputs, references, strict=True)]
    return float(metric_of(name, tokenizer)._aggregate_and_compute(rows).score)


def chrf(outputs: Sequence[str], references: Sequence[str]) -> float:
    return corpus_score("chrF", outputs, references)


def difference(first: str, second: str) -> float:
    """1 less the chrF of the two texts: 0 if they are equal, 1 if they have nothing in common."""
    if first == second:
        return 0.0
    from sacrebleu.metrics import CHRF

    return float(1 - CHRF().sentence_score(second, [first]).score / 100)


def summarize(text: str) -> str:
    return text
