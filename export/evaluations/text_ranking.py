"""text-ranking: NDCG@10 and MRR@10 over queries with graded texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.recipe import Example
from hearth_functions.text_ranking import app

DATA_FORMAT = (
    "a .tsv file of `query<TAB>text<TAB>relevance`, several lines for each query; relevance is a number, 0: none"
)
DEPTH = 10
"""Ranks that count."""


def read(path: Path) -> list[Example]:
    """One example per query: its texts, and their relevances as `expected`."""
    queries: dict[str, list[tuple[str, float]]] = {}
    try:
        for line in path.read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                query, text, relevance = line.split("\t")
                queries.setdefault(query, []).append((text, float(relevance)))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); it must be {DATA_FORMAT}.") from None
    return [
        Example({"query": query, "texts": [text for text, _ in rows]}, [relevance for _, relevance in rows])
        for query, rows in queries.items()
    ]


def measure(model: Any, examples: Sequence[Example]) -> dict[str, float]:
    gains, ranks = [], []
    for example in examples:
        scores = predict(model, example.inputs)
        order = np.argsort(-np.array(scores), kind="stable")[:DEPTH]
        relevances = np.array(example.expected)
        discounts = 1 / np.log2(np.arange(2, len(order) + 2))
        ideal = np.sort(relevances)[::-1][: len(order)] @ discounts
        gains.append(float(relevances[order] @ discounts / ideal) if ideal else 0.0)
        hits = np.flatnonzero(relevances[order] > 0)
        ranks.append(1 / (int(hits[0]) + 1) if len(hits) else 0.0)
    return {f"NDCG@{DEPTH}": float(np.mean(gains)), f"MRR@{DEPTH}": float(np.mean(ranks))}


def predict(model: Any, inputs: dict[str, Any]) -> list[float]:
    """The score of each text, in the order of the texts."""
    output = app.predict(model, app.Request(app.Candidates(**inputs))).output
    return [item.score for item in sorted(output, key=lambda item: item.index)]


def difference(first: Sequence[float], second: Sequence[float]) -> float:
    """The largest difference of a score."""
    return max(abs(a - b) for a, b in zip(first, second, strict=True))


def summarize(scores: Sequence[float]) -> str:
    return f"text {int(np.argmax(scores))} first"


EVALUATION = Evaluation(f"NDCG@{DEPTH}", True, DATA_FORMAT, read, measure, predict, difference, summarize)
