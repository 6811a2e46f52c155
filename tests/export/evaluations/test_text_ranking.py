from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.evaluations.text_ranking import EVALUATION, app, score
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model


def test_gains_are_discounted_by_rank() -> None:
    metrics = score(None, [Example({}, [0.0, 2.0, 1.0])], [[0.9, 0.5, 0.1]])
    gain = (2 / math.log2(3) + 1 / math.log2(4)) / (2 + 1 / math.log2(3))
    assert metrics == {"NDCG@10": pytest.approx(gain), "MRR@10": 0.5}


def test_only_the_first_ten_count_and_queries_without_a_fit_do_not() -> None:
    late = Example({}, [0.0] * 10 + [1.0])
    assert score(None, [late], [list(range(11, 0, -1))]) == {"NDCG@10": 0.0, "MRR@10": 0.0}
    none = Example({}, [0.0, 0.0])
    assert score(None, [none], [[1, 2]]) == {"NDCG@10": 0.0, "MRR@10": 0.0}
    assert score(None, [none, Example({}, [1.0])], [[1, 2], [1]]) == {"NDCG@10": 1.0, "MRR@10": 1.0}


def test_scores_are_in_the_order_of_the_texts_across_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        texts = request.inputs.texts
        ranked = [SimpleNamespace(index=index, score=float(text)) for index, text in enumerate(texts)]
        return sorted(ranked, key=lambda item: -item.score)

    answer_with(monkeypatch, app, answer)
    monkeypatch.setattr("hearth_build.evaluations.text_ranking.TEXTS", 2)
    scores = EVALUATION.predict(model(), {"query": "q", "texts": ["3", "7", "5"]})
    assert scores == [3.0, 7.0, 5.0]
    assert EVALUATION.summarize(scores) == "text 1 first"
    assert EVALUATION.difference(scores, [3.0, 6.0, 5.5]) == 1.0
