"""Spans of tokens as answers: against trying every span."""

from __future__ import annotations

import numpy as np
import pytest

from hearth.ops.text.answer_spans import MASKED_LOGIT, best_spans, mask_logits


def test_logits_outside_the_context_are_masked_but_the_first_means_no_answer() -> None:
    context = np.array([False, False, True, True])
    masked = mask_logits(np.array([1, 2, 3, 4], np.float64), context)
    assert masked.tolist() == [1, MASKED_LOGIT, 3, 4]
    assert masked.dtype == np.float32
    assert context.tolist() == [False, False, True, True]


@pytest.mark.parametrize("count", [1, 3, 1000])
@pytest.mark.parametrize("longest", [1, 2, 20])
def test_the_best_resultsare_those_of_an_exhaustive_search(count: int, longest: int) -> None:
    generator = np.random.default_rng(7)
    start, end = generator.random(9), generator.random(9)
    context = np.array([True, False, True, True, True, True, True, True, False])
    spans = [
        (first, last, start[first] * end[last])
        for first in range(1, 9)
        for last in range(first, min(first + longest, 9))
        if context[first] and context[last]
    ]
    expected = sorted(spans, key=lambda span: -span[2])[:count]
    results = best_spans(start, end, context, count, longest)
    assert [span[:2] for span in results] == [span[:2] for span in expected]
    assert [span[2] for span in results] == pytest.approx([span[2] for span in expected], rel=1e-5)


def test_resultswithout_probability_are_no_answers() -> None:
    context = np.array([True, True, True])
    assert best_spans(np.array([1.0, 0, 0]), np.array([1.0, 0, 0]), context, 5, 5) == []
    assert best_spans(np.array([0, 1.0, 0]), np.array([0, 0, 1.0]), context, 5, 5) == [(1, 2, 1.0)]
