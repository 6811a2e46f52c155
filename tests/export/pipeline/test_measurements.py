"""What is measured of models whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hearth_build.pipeline import measurements
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.pipeline.measurements import DIFFERENCE, measure, measure_test, one_thread
from hearth_build.recipe import Example
from tests.export import toy

EXAMPLES = [Example(number, number % 2) for number in range(10)]


def errors(bias: float, examples: Sequence[Example], outputs: Sequence[float]) -> dict[str, float]:
    return {"error": sum(abs(output - example.expected) for example, output in zip(examples, outputs, strict=True))}


def outputs_of(bias: float, examples: Sequence[Example]) -> list[float]:
    return [example.expected + bias for example in examples]


EVALUATION = Evaluation(
    metric="error",
    higher_is_better=False,
    data_format="",
    read=lambda path: [],
    measure=lambda bias, examples: errors(bias, examples, outputs_of(bias, examples)),
    predict=lambda bias, value: value + bias,
    difference=lambda first, second: abs(first - second),
    summarize=str,
    outputs=outputs_of,
    score=errors,
)
"""A model is the number that it adds."""
MODELS: dict[str, Any] = {"torch": 0.0, "fp32": 0.0, "served": 0.5}


def test_differences_are_those_from_the_first_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measurements, "LATENCY_ROUNDS", 2)
    sets = {"all": lambda work: EXAMPLES, "few": lambda work: EXAMPLES[:2]}
    recipe = replace(toy.recipe(), dev=sets, golden=lambda: [1, 2], expected={3: "3.0"})  # type: ignore[dict-item]
    results = measure(recipe, tmp_path, EVALUATION, MODELS)
    assert results.metrics["served"] == {
        "error": 5.0,
        "error (few)": 1.0,
        DIFFERENCE: 0.5,
        "milliseconds": results.metrics["served"]["milliseconds"],
    }
    assert results.metrics["fp32"][DIFFERENCE] == 0.0
    assert results.mismatches == {"served": ["3 is 3.5, not 3.0"]}


def test_metrics_of_the_test_examples_have_intervals(tmp_path: Path) -> None:
    recipe = replace(toy.recipe(), test=lambda work: EXAMPLES, report=lambda work, examples, outputs: [f"{outputs[1]}"])
    metrics: dict[str, float] = {"error": 0.0}
    assert measure_test(recipe, tmp_path, EVALUATION, 0.5, metrics) == ["1.5"]
    assert metrics == {"error": 0.0, "error (test)": 5.0, "error (test), low": 5.0, "error (test), high": 5.0}


def test_torch_gets_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    with one_thread(is_needed=True):
        assert threads == [4, 1]
    assert threads == [4, 1, 4]
    with one_thread(is_needed=False):
        assert threads == [4, 1, 4]
