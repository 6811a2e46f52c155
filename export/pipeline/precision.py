"""Build an imported model in the precision that was chosen, or in the fastest one that is accurate enough.

`--precision auto` builds and measures every precision that fits the model, and keeps the fastest within the recipe's
gate. No model is refused for rounding: fp32 is left.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hearth.models.manifest import Manifest
from hearth_build.pipeline import build, padding
from hearth_build.pipeline.measurements import DIFFERENCE
from hearth_build.recipe import GateError, NoQuantization, Quantizer, Recipe, RecipeError

MIN_SPEED = 0.95
"""Least speed of a quantized model relative to fp32: it is smaller, so it loads faster at the same speed."""


@dataclass(frozen=True)
class Candidate:
    precision: str
    folder: Path
    manifest: Manifest

    @property
    def speed(self) -> float:
        """Relative to fp32, measured in the same run."""
        metrics = self.manifest.metrics
        return metrics.fp32["milliseconds"] / metrics.served["milliseconds"]


def build_import(
    recipe: Recipe, quantizers: Mapping[str, Quantizer], work: Path, command: str, precision: str = "auto"
) -> tuple[Manifest, list[str]]:
    """Build `work`/artifact; returns its manifest, and a sentence about each precision that was tried.

    Raises RecipeError for a precision that does not fit the model, DataError, and GateError for a wrong export.
    """
    if precision not in ("auto", "fp32", *quantizers):
        available = ", ".join(["auto", "fp32", *quantizers])
        raise RecipeError(f"{recipe.name} cannot be quantized to {precision}; --precision can be {available}.")
    work.mkdir(parents=True, exist_ok=True)
    build.prepare(recipe, work)
    build.export_graphs(recipe, work)
    limited = padding.limit_to_one_text(recipe, work)
    sentences = [] if limited is recipe else ["a request may have one text: the answers depend on padding"]
    recipe = limited
    if precision != "auto":
        quantizer = quantizers.get(precision, NoQuantization())
        candidate = build_precision(without_rounding_gate(recipe), precision, quantizer, work, command)
        return keep(candidate, work), sentences
    candidates = []
    for name, quantizer in quantizers.items():
        try:
            candidate = build_precision(recipe, name, quantizer, work, command)
        except GateError as error:
            sentences.append(f"{name} is not used: {error}")
            continue
        sentences.append(f"{name} is {candidate.speed:.2f} times as fast as fp32, {describe(candidate.manifest)}")
        candidates.append(candidate)
    fastest = max(candidates, key=lambda candidate: candidate.speed, default=None)
    if fastest is None or fastest.speed < MIN_SPEED:
        fastest = build_precision(without_rounding_gate(recipe), "fp32", NoQuantization(), work, command)
    return keep(fastest, work), [*sentences, f"precision: {fastest.precision}"]


def build_precision(recipe: Recipe, precision: str, quantizer: Quantizer, work: Path, command: str) -> Candidate:
    """Quantize and verify; the artifact is moved aside. Raises GateError."""
    recipe = replace(recipe, quantization=quantizer)
    build.quantize_graphs(recipe, work)
    manifest = build.verify_artifact(recipe, work, command, "cpu")
    folder = work / f"artifact-{precision}"
    shutil.rmtree(folder, ignore_errors=True)
    (work / "artifact").rename(folder)
    return Candidate(precision, folder, manifest)


def keep(candidate: Candidate, work: Path) -> Manifest:
    """Make the candidate the artifact, and remove the others."""
    shutil.rmtree(work / "artifact", ignore_errors=True)
    candidate.folder.rename(work / "artifact")
    for folder in work.glob("artifact-*"):
        shutil.rmtree(folder)
    return candidate.manifest


def without_rounding_gate(recipe: Recipe) -> Recipe:
    """For a precision that was requested, and for fp32, which is always accepted: rounding has no limit."""
    return replace(recipe, gate=replace(recipe.gate, accepts_rounding=True))


def describe(manifest: Manifest) -> str:
    """How much a precision costs, in the task's metric if there is data."""
    metrics = manifest.metrics
    if metrics.metric != DIFFERENCE:
        return f"{metrics.metric} {metrics.served[metrics.metric]:.4f} (fp32: {metrics.fp32[metrics.metric]:.4f})"
    return f"golden answers differ by {metrics.served[DIFFERENCE]:.3g}"
