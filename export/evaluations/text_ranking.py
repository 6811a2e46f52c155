"""text-ranking: NDCG@10 and MRR@10 over queries with graded texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hearth_build.data import ranked_texts
from hearth_build.pipeline.evaluation import Evaluation, measure_by
from hearth_build.recipe import Example
from hearth_functions.text_ranking import app

DEPTH = 10
"""Ranks that count."""
TEXTS = 100
"""Texts of a request."""


def outputs(model: Any, examples: Sequence[Example]) -> list[list[float]]:
    return [predict(model, example.inputs) for example in examples]


def score(model: Any, examples: Sequence[Example], results: Sequence[Sequence[float]]) -> dict[str, float]:
    """The metrics of the scores of each query's texts. Queries to which no text fits do not count."""
    gains, ranks = [], []
    for example, scores in zip(examples, results, strict=True):
        relevances = np.array(example.expected)
        if not (relevances > 0).any():
            continue
        order = np.argsort(-np.array(scores), kind="stable")[:DEPTH]
        discounts = 1 / np.log2(np.arange(2, len(order) + 2))
        ideal = np.sort(relevances)[::-1][: len(order)] @ discounts
        gains.append(float(relevances[order] @ discounts / ideal))
        hits = np.flatnonzero(relevances[order] > 0)
        ranks.append(1 / (int(hits[0]) + 1) if len(hits) else 0.0)
    if not gains:
        return {f"NDCG@{DEPTH}": 0.0, f"MRR@{DEPTH}": 0.0}
    return {f"NDCG@{DEPTH}": float(np.mean(gains)), f"MRR@{DEPTH}": float(np.mean(ranks))}


def predict(model: Any, inputs: dict[str, Any]) -> list[float]:
    """The score of each text, in the order of the texts."""
    scores: list[float] = []
    for first in range(0, len(inputs["texts"]), TEXTS):
        candidates = app.Candidates(inputs["query"], inputs["texts"][first : first + TEXTS])
        output = app.predict(model, app.Request(candidates)).output
        scores += [item.score for item in sorted(output, key=lambda item: item.index)]
    return scores


def difference(first: Sequence[float], second: Sequence[float]) -> float:
    """The largest difference of a score."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def summarize(scores: Sequence[float]) -> str:
    return f"text {int(np.argmax(scores))} first"


EVALUATION = Evaluation(
    metric=f"NDCG@{DEPTH}",
    higher_is_better=True,
    data_format=ranked_texts.DATA_FORMAT,
    read=ranked_texts.read,
    measure=measure_by(outputs, score),
    predict=predict,
    difference=difference,
    summarize=summarize,
    outputs=outputs,
    score=score,
)
