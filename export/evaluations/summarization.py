"""summarization: ROUGE-1, ROUGE-2 and ROUGE-L (F1) on texts with a reference summary.

ROUGE as Lin (2004) defines it, on lower-cased words without stemming.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from hearth_build.data import parallel_texts
from hearth_build.evaluations.written_texts import difference, summarize, write_texts
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.summarization import app

DATA_FORMAT = parallel_texts.data_format(parallel_texts.SUMMARY)
METRICS = ("ROUGE-L", "ROUGE-1", "ROUGE-2")
WORD = re.compile(r"\w+")


def outputs_of(model: Any, examples: Sequence[Example]) -> Sequence[str]:
    return write_texts(app, model, [example.inputs for example in examples])


def score(model: Any, examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, float]:
    return mean_rouge(examples, outputs)


def mean_rouge(examples: Sequence[Example], outputs: Sequence[str]) -> dict[str, float]:
    rows = [rouge(summary, str(example.expected)) for summary, example in zip(outputs, examples, strict=True)]
    return {name: float(np.mean([row[name] for row in rows])) for name in METRICS}


@lru_cache(maxsize=100_000)  # a bootstrap scores the same texts again and again
def rouge(summary: str, reference: str) -> dict[str, float]:
    first, second = WORD.findall(summary.lower()), WORD.findall(reference.lower())
    overlaps = {"ROUGE-L": longest_common_subsequence(first, second)}
    totals = {"ROUGE-L": (len(first), len(second))}
    for size in (1, 2):
        a, b = ngrams(first, size), ngrams(second, size)
        overlaps[f"ROUGE-{size}"] = (a & b).total()
        totals[f"ROUGE-{size}"] = (a.total(), b.total())
    return {name: 2 * overlap / (sum(totals[name]) or 1) for name, overlap in overlaps.items()}


def ngrams(words: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[start : start + size]) for start in range(len(words) - size + 1))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Its length."""
    previous = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for index, other in enumerate(second):
            row.append(previous[index] + 1 if word == other else max(previous[index + 1], row[-1]))
        previous = row
    return previous[-1]


def predict(model: Any, inputs: str) -> str:
    return write_texts(app, model, [inputs])[0]


EVALUATION = Evaluation(
    "ROUGE-L",
    True,
    DATA_FORMAT,
    partial(parallel_texts.read, roles=parallel_texts.SUMMARY),
    measure_by(outputs_of, score),
    predict,
    difference,
    summarize,
    outputs_of,
    score,
)
