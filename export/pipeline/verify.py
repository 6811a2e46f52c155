"""Measure the torch model, the fp32 graphs and the served graphs with the task's evaluation, and check the gates.

`hearth build RECIPE --step verify` runs it. The manifest is written last: a folder without one is not an artifact.
"""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from hearth.models.manifest import Manifest, Metrics, Provider, Reference, dump
from hearth.models.model import Model
from hearth_build.drift.reference import make_reference
from hearth_build.onnx_export import export
from hearth_build.onnx_export.reference import ReferenceModel
from hearth_build.pipeline import model_card
from hearth_build.pipeline.evaluation import Evaluation, evaluation_for
from hearth_build.pipeline.gates import choose_provider, gate_failures, golden_tolerance, require_provider
from hearth_build.pipeline.manifest import graph_bytes, manifest_of
from hearth_build.pipeline.measurements import DIFFERENCE, measure, measure_test
from hearth_build.recipe import GateError, Recipe

if TYPE_CHECKING:
    from torch import nn


class TorchModel(ReferenceModel):
    """A torch network of one graph."""

    def __init__(self, network: nn.Module, served: Model) -> None:
        super().__init__(served)
        self.network = network

    def run(self, feeds: dict[str, np.ndarray], graph: str = "main") -> list[np.ndarray]:
        import torch

        with torch.no_grad():
            outputs = self.network(**{name: torch.from_numpy(value) for name, value in feeds.items()})
        return [tensor.numpy() for tensor in ([outputs] if isinstance(outputs, torch.Tensor) else outputs)]


def verify(
    recipe: Recipe, work: Path, *, method: str, command: str, seconds: float, provider: Provider = "cpu"
) -> Manifest:
    """Measure, write golden.json, report.png and report.md and, if all gates are met, manifest.json.

    If `provider` is not ONNX Runtime's default one, it is measured too, on the quantized graph as it is. The manifest
    names it if it meets the gates and is at least MIN_SPEEDUP times as fast; the model card gives the result. Raises
    GateError, and RecipeError if the provider is not installed.
    """
    require_provider(provider)
    folder = work / "artifact"
    (folder / "manifest.json").unlink(missing_ok=True)
    folders = {"torch": work / "raw", "fp32": work / "fp32", "served": folder}
    if provider != "cpu":
        folders[provider] = work / provider
        shutil.rmtree(folders[provider], ignore_errors=True)
        for role in recipe.graphs:
            export.optimise(work / f"small-{role}.onnx", folders[provider], role, provider)
    for kind, target in folders.items():
        if kind == "torch":
            continue
        if (work / "tokenizer.json").exists():
            shutil.copyfile(work / "tokenizer.json", target / "tokenizer.json")
        for name, make in recipe.resources.items():
            (target / name).write_bytes(make(work))
    draft = manifest_of(recipe, folder, method, command, seconds)
    served = Model(draft, folder, threads=1)
    models: dict[str, Any] = {}
    network = export.network_of(recipe, work)
    if network is not None and recipe.reference_model is not None:
        models["torch"] = recipe.reference_model(network, served)
    elif network is not None and len(recipe.graphs) == 1:
        models["torch"] = TorchModel(network, served)
    fp32 = manifest_of(recipe, work / "fp32", method, command, seconds)
    models |= {"fp32": Model(fp32, work / "fp32", threads=1), "served": served}
    if provider != "cpu":
        models[provider] = Model(structs.replace(draft, provider=provider), folders[provider], threads=1)
    evaluation = evaluation_for(recipe)
    measurements = measure(recipe, work, evaluation, models)
    tolerance = golden_tolerance(recipe.gate, measurements.metrics["served"][DIFFERENCE])
    write_golden(recipe, evaluation, next(iter(models.values())), folder / "golden.json", tolerance)
    model_card.plot(recipe, evaluation, measurements.metrics, folder / "report.png")
    for kind in models:
        measurements.metrics[kind]["bytes"] = float(graph_bytes(recipe, folders[kind]))
    kind = "served"
    if provider != "cpu":
        kind, reason = choose_provider(recipe.gate, evaluation, measurements, provider)
        method = f"{method}. {reason}"
    if kind == provider:
        for name in {name for role in recipe.graphs for name in export.files(role)}:
            (folder / name).unlink(missing_ok=True)
            if (folders[provider] / name).exists():
                shutil.copyfile(folders[provider] / name, folder / name)
    metrics = Metrics(
        dataset=", ".join(recipe.dev) or "golden inputs",
        torch=measurements.metrics.get("torch", {}),
        fp32=measurements.metrics["fp32"],
        served=measurements.metrics[kind],
        metric=evaluation.metric if recipe.dev else DIFFERENCE,
        reference=recipe.reference,
    )
    failures = gate_failures(recipe.gate, evaluation, measurements, kind)
    sections: Sequence[str] = ()
    if recipe.test is not None and not failures:
        sections = measure_test(recipe, work, evaluation, models[kind], metrics.served)
    draft = manifest_of(recipe, folder, method, command, seconds, metrics)
    (folder / "report.md").write_text(model_card.card(recipe, draft, sections), encoding="utf-8")
    if (size := sum(path.stat().st_size for path in folder.iterdir())) > recipe.gate.bytes:
        failures.append(f"the folder has {size:,} bytes; at most {recipe.gate.bytes:,} are allowed")
    if failures:
        raise GateError("The artifact misses its gates: " + "; ".join(failures) + ".")
    manifest = manifest_of(recipe, folder, method, command, seconds, metrics)
    manifest = structs.replace(
        manifest,
        provider=provider if kind == provider else "cpu",
        reference=reference_of(recipe, work, evaluation, models[kind]),
    )
    partial = folder / "manifest.partial"
    partial.write_bytes(dump(manifest))
    partial.replace(folder / "manifest.json")
    return manifest


def reference_of(recipe: Recipe, work: Path, evaluation: Evaluation, model: Any) -> Reference | None:
    """Statistics of the first dev set, with which `hearth drift` compares what is served; None without one."""
    for name, read in recipe.dev.items():
        return make_reference(model, evaluation, read(work), name)
    return None


def write_golden(recipe: Recipe, evaluation: Evaluation, model: Any, path: Path, tolerance: float) -> None:
    """Write the golden inputs (bytes as base64) and the outputs of `model`, to replay them later."""
    cases = [
        {
            "inputs": encode_bytes(value),
            "answer": evaluation.predict(model, value),
        }
        for value in recipe.golden()
    ]
    golden = {"tolerance": tolerance, "expected": recipe.expected, "cases": cases}
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def encode_bytes(value: Any) -> Any:
    """A golden input as JSON, with bytes as base64."""
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: encode_bytes(item) for name, item in value.items()}
    return value
