"""The steps from a recipe to an artifact; `hearth build RECIPE` runs those that are not complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from hearth.models.manifest import Manifest, Provider
from hearth_build.onnx_export import export
from hearth_build.onnx_export.quantize import quantize
from hearth_build.pipeline import fingerprint, gates, verify
from hearth_build.pipeline.model_card import measured
from hearth_build.recipe import Recipe, RecipeError

console = Console()


class Step(StrEnum):
    PREPARE = "prepare"
    TRAIN = "train"
    EXPORT = "export"
    QUANTIZE = "quantize"
    VERIFY = "verify"


def build(recipe: Recipe, work: Path, command: str, step: Step | None = None, provider: Provider = "cpu") -> Path:
    """Run one step, or all steps that are not complete; returns the artifact folder.

    `provider` is an execution provider that `verify` measures in addition to ONNX Runtime's default one. Raises
    RecipeError, DataError, GateError.
    """
    gates.require_provider(provider)  # fails before hours of training
    work.mkdir(parents=True, exist_ok=True)
    steps: dict[Step, Callable[[], object]] = {
        Step.PREPARE: lambda: prepare(recipe, work),
        Step.TRAIN: lambda: run_stages(recipe, work),
        Step.EXPORT: lambda: export_graphs(recipe, work),
        Step.QUANTIZE: lambda: quantize_graphs(recipe, work),
        Step.VERIFY: lambda: verify_artifact(recipe, work, command, provider),
    }
    for name, run in steps.items():
        if step in (None, name):
            console.rule(f"{recipe.name}: {name}")
            run()
    return work / "artifact"


def prepare(recipe: Recipe, work: Path) -> None:
    """Prepare the work folder, unless that was done with the same inputs."""
    marker, inputs = work / "prepared", fingerprint.of_inputs(recipe)
    if not marker.exists() or marker.read_text(encoding="utf-8") != inputs:
        marker.unlink(missing_ok=True)
        recipe.prepare(work)
        marker.write_text(inputs, encoding="utf-8")


def run_stages(recipe: Recipe, work: Path) -> None:
    from hearth_build.pipeline import train

    require(work / "prepared", recipe, Step.PREPARE)
    inputs = (work / "prepared").read_text(encoding="utf-8")
    for stage in recipe.stages:
        train.train(stage, work, recipe.seed, inputs)
        inputs = fingerprint.of_stage(stage, recipe.seed, inputs)


def export_graphs(recipe: Recipe, work: Path) -> None:
    if recipe.network is not None or recipe.stages:
        import torch

        torch.manual_seed(recipe.seed)
    network = export.network_of(recipe, work)
    for folder in ("raw", "fp32"):
        shutil.rmtree(work / folder, ignore_errors=True)
    (work / "raw").mkdir()
    for role, write in recipe.graphs.items():
        raw = work / "raw" / export.files(role)[0]
        write(network, raw)
        export.optimise(raw, work / "fp32", role)


def quantize_graphs(recipe: Recipe, work: Path) -> None:
    require(work / "fp32", recipe, Step.EXPORT)
    shutil.rmtree(work / "artifact", ignore_errors=True)
    methods = []
    for role in recipe.graphs:
        quantizer = recipe.quantization[role] if isinstance(recipe.quantization, dict) else recipe.quantization
        quantized = work / f"small-{role}.onnx"
        methods.append(quantize(quantizer, work, work / "raw" / export.files(role)[0], quantized))
        export.optimise(quantized, work / "artifact", role)
    (work / "method.txt").write_text("; ".join(dict.fromkeys(methods)), encoding="utf-8")


def verify_artifact(recipe: Recipe, work: Path, command: str, provider: Provider) -> Manifest:
    require(work / "method.txt", recipe, Step.QUANTIZE)
    method = (work / "method.txt").read_text(encoding="utf-8")
    seconds = training_seconds(recipe, work)
    manifest = verify.verify(recipe, work, method=method, command=command, seconds=seconds, provider=provider)
    lines = [f"Built {recipe.name}@{recipe.version} in {work / 'artifact'}", *measured(manifest.metrics.served)]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return manifest


def training_seconds(recipe: Recipe, work: Path) -> float:
    if not recipe.stages:
        return 0.0
    from hearth_build.pipeline import train

    return float(sum(train.history_of(work, stage.name)[-1]["seconds"] for stage in recipe.stages))


def require(path: Path, recipe: Recipe, step: Step) -> None:
    """Raises RecipeError if `path`, which `step` creates, does not exist."""
    if not path.exists():
        raise RecipeError(f"{path} is missing. Run `hearth build {recipe.name} --step {step}` first.")
