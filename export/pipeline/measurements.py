"""Measure models with the task's evaluation, beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hearth_build.onnx_export.turns import median_seconds
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.pipeline.intervals import bootstrap
from hearth_build.recipe import Recipe

LATENCY_ROUNDS = 60
LATENCY_SECONDS = 20.0
"""Time limit for all rounds, for slow models."""
DIFFERENCE = "largest golden difference"
"""Name of the metric."""


@dataclass
class Measurements:
    """Results by kind of model: torch (if there is one), fp32, served, and the name of another provider."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    mismatches: dict[str, list[str]] = field(default_factory=dict)
    """Sentences about outputs of a served model that differ from those the recipe expects."""


def measure(recipe: Recipe, work: Path, evaluation: Evaluation, models: dict[str, Any]) -> Measurements:
    """Measure all models on the dev sets and the golden inputs."""
    measurements = Measurements({kind: {} for kind in models})
    for number, (name, read) in enumerate(recipe.dev.items()):
        examples = read(work)
        for kind, model in models.items():
            suffix = "" if number == 0 else f" ({name})"
            metrics = evaluation.measure(model, examples)
            measurements.metrics[kind] |= {f"{metric}{suffix}": value for metric, value in metrics.items()}
    inputs = list(recipe.golden())
    outputs = {kind: [evaluation.predict(model, value) for value in inputs] for kind, model in models.items()}
    reference = next(iter(outputs.values()))
    for kind, outputs_of_kind in outputs.items():
        differences = [evaluation.difference(*pair) for pair in zip(reference, outputs_of_kind, strict=True)]
        measurements.metrics[kind][DIFFERENCE] = max(differences, default=0.0)
    for kind, model in models.items():
        if kind in ("torch", "fp32"):
            continue
        summaries = {text: evaluation.summarize(evaluation.predict(model, text)) for text in recipe.expected}
        measurements.mismatches[kind] = [
            f"{text!r} is {summaries[text]}, not {expected}"
            for text, expected in recipe.expected.items()
            if summaries[text] != expected
        ]
    times = measure_latency(evaluation, models, inputs[0]) if inputs else dict.fromkeys(models, 0.0)
    for kind, milliseconds in times.items():
        measurements.metrics[kind]["milliseconds"] = milliseconds
    return measurements


def measure_test(
    recipe: Recipe, work: Path, evaluation: Evaluation, model: Any, metrics: dict[str, float]
) -> Sequence[str]:
    """Add the metrics of the test examples to `metrics`, with 95 % intervals; returns sections of the model card."""
    assert recipe.test is not None
    assert evaluation.outputs is not None
    assert evaluation.score is not None
    examples = recipe.test(work)
    outputs = evaluation.outputs(model, examples)
    intervals = bootstrap(partial(evaluation.score, model), examples, outputs, recipe.seed)
    for name, value in evaluation.score(model, examples, outputs).items():
        low, high = intervals[name]
        metrics |= {f"{name} (test)": value, f"{name} (test), low": low, f"{name} (test), high": high}
    return [] if recipe.report is None else recipe.report(work, examples, outputs)


def measure_latency(evaluation: Evaluation, models: dict[str, Any], value: Any) -> dict[str, float]:
    """Median milliseconds for one golden input on one thread. The models take turns."""
    with one_thread(is_needed="torch" in models):
        return run_rounds(evaluation, models, value)


@contextmanager
def one_thread(*, is_needed: bool) -> Iterator[None]:
    """Let torch compute on one thread. It is not imported if no torch model is measured."""
    if not is_needed:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def run_rounds(evaluation: Evaluation, models: dict[str, Any], value: Any) -> dict[str, float]:
    runs = [partial(evaluation.predict, model, value) for model in models.values()]
    seconds = median_seconds(runs, LATENCY_ROUNDS, LATENCY_SECONDS)
    return {kind: 1000 * median for kind, median in zip(models, seconds, strict=True)}
