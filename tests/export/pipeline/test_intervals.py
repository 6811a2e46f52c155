from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hearth_build.pipeline import intervals
from hearth_build.pipeline.intervals import bootstrap
from hearth_build.recipe import Example


def accuracy(examples: Sequence[Example], outputs: Sequence[Any]) -> dict[str, float]:
    pairs = zip(examples, outputs, strict=True)
    return {"accuracy": float(np.mean([example.expected == output for example, output in pairs]))}


def test_the_interval_is_that_of_the_binomial_distribution() -> None:
    examples = [Example("", number < 80) for number in range(100)]
    ((low, high),) = bootstrap(accuracy, examples, [True] * 100).values()
    assert low == pytest.approx(0.72, abs=0.02)
    assert high == pytest.approx(0.88, abs=0.02)


def test_examples_of_a_group_are_drawn_together() -> None:
    examples = [Example("", number < 80, group=str(number // 20)) for number in range(100)]
    ((low, high),) = bootstrap(accuracy, examples, [True] * 100).values()
    assert low < 0.5
    assert high == 1


def test_a_slow_metric_is_computed_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def score(examples: Sequence[Example], outputs: Sequence[Any]) -> dict[str, float]:
        calls.append(1)
        return {"a": 0.0}

    monkeypatch.setattr(intervals, "SECONDS", -1.0)
    bootstrap(score, [Example("", 0)] * 3, [0] * 3)
    assert len(calls) == intervals.MIN_RESAMPLES
