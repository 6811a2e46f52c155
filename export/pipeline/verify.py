"""Measures torch model, fp32 graphs and served graphs through the function's own `answer`, and judges.

`hearth build RECIPE --step verify` runs it. The manifest is written last: a folder without one is not an artifact.
"""

from __future__ import annotations

import base64
import json
import platform
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from msgspec import structs
from torch import nn

from hearth.models.download import describe as describe_file
from hearth.models.manifest import Manifest, Metrics, Provenance, Provider, Quantization, dump
from hearth.models.model import OPENVINO, Model
from hearth_build.onnx_export import export
from hearth_build.onnx_export.reference import ReferenceModel
from hearth_build.pipeline import model_card
from hearth_build.pipeline.evaluation import Evaluation, evaluation_of
from hearth_build.recipe import Block4, DynamicInt8, Gate, Gated, Quantizer, Recipe, RecipeError, StaticInt8

LATENCY_ROUNDS = 60
LATENCY_SECONDS = 20.0
"""The rounds end then, if answers take long."""
DIFFERENCE = "largest golden difference"
GAIN = 1.1
"""How many times as fast as ONNX Runtime's own another provider must be: it is larger and loads more slowly."""
METHODS = {StaticInt8: "static-int8", DynamicInt8: "dynamic-int8", Block4: "int4-blocks"}


class TorchModel(ReferenceModel):
    """A torch network of one graph."""

    def __init__(self, network: nn.Module, served: Model) -> None:
        super().__init__(served)
        self.network = network

    def run(self, feeds: dict[str, np.ndarray], graph: str = "main") -> list[np.ndarray]:
        with torch.no_grad():
            found = self.network(**{name: torch.from_numpy(value) for name, value in feeds.items()})
        return [value.numpy() for value in ([found] if isinstance(found, torch.Tensor) else found)]


@dataclass
class Measured:
    """Each metric of the models by kind: torch where there is one, fp32, served, and another provider."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    """What a served model answered otherwise than expected."""


def verify(
    recipe: Recipe, work: Path, *, method: str, command: str, seconds: float, provider: Provider = "cpu"
) -> Manifest:
    """Measure, write golden.json, report.png, report.md and, when every gate is met, manifest.json. Raises Gated.

    Another `provider` than ONNX Runtime's own is measured too, on the quantized graph as it is; the manifest names
    it where it meets the gates too and is GAIN times as fast, and the card tells. Raises RecipeError: not installed.
    """
    need(provider)
    folder = work / "artifact"
    (folder / "manifest.json").unlink(missing_ok=True)
    places = {"torch": work / "raw", "fp32": work / "fp32", "served": folder}
    if provider != "cpu":
        places[provider] = work / provider
        shutil.rmtree(places[provider], ignore_errors=True)
        for role in recipe.graphs:
            export.optimise(work / f"small-{role}.onnx", places[provider], role, provider)
    for place in [places[kind] for kind in places if kind != "torch"]:
        if (work / "tokenizer.json").exists():
            shutil.copyfile(work / "tokenizer.json", place / "tokenizer.json")
        for name, make in recipe.resources.items():
            (place / name).write_bytes(make(work))
    draft = manifest_of(recipe, folder, method, command, seconds)
    served = Model(draft, folder, threads=1)
    models: dict[str, Any] = {}
    network = export.network_of(recipe, work)
    if network is not None and recipe.twin is not None:
        models["torch"] = recipe.twin(network, served)
    elif network is not None and len(recipe.graphs) == 1:
        models["torch"] = TorchModel(network, served)
    fp32 = manifest_of(recipe, work / "fp32", method, command, seconds)
    models |= {"fp32": Model(fp32, work / "fp32", threads=1), "served": served}
    if provider != "cpu":
        models[provider] = Model(structs.replace(draft, provider=provider), places[provider], threads=1)
    evaluation = evaluation_of(recipe.task)
    measured = measure(recipe, work, evaluation, models)
    write_golden(recipe, evaluation, next(iter(models.values())), folder / "golden.json")
    model_card.draw(recipe, evaluation, measured.metrics, folder / "report.png")
    for kind in models:
        measured.metrics[kind]["bytes"] = float(weight_of(recipe, places[kind]))
    kind = "served"
    if provider != "cpu":
        kind, why = choice(recipe.gate, evaluation, measured, provider)
        method = f"{method}. {why}"
    if kind == provider:
        for name in {name for role in recipe.graphs for name in export.files(role)}:
            (folder / name).unlink(missing_ok=True)
            if (places[provider] / name).exists():
                shutil.copyfile(places[provider] / name, folder / name)
    metrics = Metrics(
        dataset=", ".join(recipe.dev) or "golden inputs",
        torch=measured.metrics.get("torch", {}),
        fp32=measured.metrics["fp32"],
        served=measured.metrics[kind],
        metric=evaluation.metric if recipe.dev else DIFFERENCE,
        reference=recipe.reference,
    )
    draft = manifest_of(recipe, folder, method, command, seconds, metrics)
    (folder / "report.md").write_text(model_card.card(recipe, draft), encoding="utf-8")
    reasons = missed(recipe.gate, evaluation, measured, kind)
    if (size := sum(path.stat().st_size for path in folder.iterdir())) > recipe.gate.bytes:
        reasons.append(f"the folder has {size:,} bytes, allowed are {recipe.gate.bytes:,}")
    if reasons:
        raise Gated("No artifact: " + "; ".join(reasons) + ".")
    manifest = manifest_of(recipe, folder, method, command, seconds, metrics)
    manifest = structs.replace(manifest, provider=provider if kind == provider else "cpu")
    partial = folder / "manifest.partial"
    partial.write_bytes(dump(manifest))
    partial.replace(folder / "manifest.json")
    return manifest


def manifest_of(
    recipe: Recipe, folder: Path, method: str, command: str, seconds: float, metrics: Metrics | None = None
) -> Manifest:
    """The manifest of what lies in `folder`."""
    files = sorted(path for path in folder.iterdir() if path.name not in ("manifest.json", "manifest.partial"))
    main: Quantizer = recipe.quantization["main"] if isinstance(recipe.quantization, dict) else recipe.quantization
    return Manifest(
        model=recipe.name,
        version=recipe.version,
        task=recipe.task,
        files=tuple(describe_file(path) for path in files),
        graphs={role: export.describe(folder, role) for role in recipe.graphs},
        preprocessing=recipe.preprocessing,
        head=recipe.head,
        resources=tuple(recipe.resources),
        labels=recipe.labels,
        activation=recipe.activation,
        limits=recipe.limits,
        licence=recipe.licence,
        description=recipe.description,
        provenance=Provenance(
            recipe=recipe.name,
            command=command,
            seed=recipe.seed,
            data=tuple(source.sentence() for source in recipe.sources),
            commit=commit(),
            seconds=round(seconds, 1),
            machine=machine(),
            parents=recipe.parents,
        ),
        quantization=Quantization(method=METHODS.get(type(main), "none"), details=method),  # type: ignore[arg-type]
        metrics=metrics or Metrics(dataset="", torch={}, fp32={}, served={}),
    )


def measure(recipe: Recipe, work: Path, evaluation: Evaluation, models: dict[str, Any]) -> Measured:
    measured = Measured({kind: {} for kind in models})
    for number, (name, read) in enumerate(recipe.dev.items()):
        examples = read(work)
        for kind, model in models.items():
            suffix = "" if number == 0 else f" ({name})"
            found = evaluation.measure(model, examples)
            measured.metrics[kind] |= {f"{key}{suffix}": value for key, value in found.items()}
    inputs = list(recipe.golden())
    answers = {kind: [evaluation.answer(model, value) for value in inputs] for kind, model in models.items()}
    first = next(iter(answers.values()))
    for kind, found in answers.items():
        differences = [evaluation.difference(*pair) for pair in zip(first, found, strict=True)]
        measured.metrics[kind][DIFFERENCE] = max(differences)
    for kind in [kind for kind in models if kind not in ("torch", "fp32")]:
        briefs = {text: evaluation.brief(evaluation.answer(models[kind], text)) for text in recipe.expected}
        measured.wrong[kind] = [
            f"{text!r} is {briefs[text]}, not {wanted}"
            for text, wanted in recipe.expected.items()
            if briefs[text] != wanted
        ]
    for kind, milliseconds in latency(evaluation, models, inputs[0]).items():
        measured.metrics[kind]["milliseconds"] = milliseconds
    return measured


def latency(evaluation: Evaluation, models: dict[str, Any], value: Any) -> dict[str, float]:
    """Median milliseconds of one golden input on one thread; the models take turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken: dict[str, list[float]] = {kind: [] for kind in models}
    for model in models.values():  # the first one warms up
        evaluation.answer(model, value)
    end = time.perf_counter() + LATENCY_SECONDS
    for _ in range(LATENCY_ROUNDS):
        for kind, model in models.items():
            started = time.perf_counter()
            evaluation.answer(model, value)
            taken[kind].append((time.perf_counter() - started) * 1000)
        if time.perf_counter() > end:
            break
    torch.set_num_threads(threads)
    return {kind: statistics.median(values) for kind, values in taken.items()}


def need(provider: Provider) -> None:
    """Raises RecipeError where the ONNX Runtime that is installed has not this provider."""
    if provider == "openvino" and OPENVINO not in onnxruntime.get_available_providers():
        raise RecipeError(
            "This ONNX Runtime has no OpenVINO: pip uninstall onnxruntime, then pip install onnxruntime-openvino."
        )


def choice(gate: Gate, evaluation: Evaluation, measured: Measured, provider: Provider) -> tuple[str, str]:
    """The kind that is served, ONNX Runtime's own or the other provider's, and why, in a sentence without its stop."""
    own, other = (measured.metrics[kind]["milliseconds"] for kind in ("served", provider))
    figures = f"{other:.3g} ms under the provider {provider}, {own:.3g} ms under ONNX Runtime's own"
    if reasons := missed(gate, evaluation, measured, provider):
        return "served", f"{figures}; it misses a gate and was not chosen: {'; '.join(reasons)}"
    if own < GAIN * other:
        return "served", f"{figures}; it was not chosen, since it is not {GAIN} times as fast"
    return provider, f"{figures}; it was chosen"


def missed(gate: Gate, evaluation: Evaluation, measured: Measured, kind: str) -> list[str]:
    """Why the model of this kind may not be served."""
    reasons = [f"expected: {wrong}" for wrong in measured.wrong[kind]]
    served, fp32 = measured.metrics[kind], measured.metrics["fp32"]
    metric = evaluation.metric
    if metric in served:
        if evaluation.loss(gate.metric, served[metric]) > 0:
            least = "under" if evaluation.higher else "over"
            reasons.append(f"{metric} {served[metric]:.4f} is {least} {gate.metric}")
        loss = evaluation.loss(fp32[metric], served[metric])
        if loss > gate.quantization_loss:
            reasons.append(f"quantization costs {loss:.4f} of {metric}, allowed are {gate.quantization_loss}")
    if served[DIFFERENCE] > gate.difference:
        difference = f"{served[DIFFERENCE]:.3f}"
        reasons.append(f"golden answers differ from the first model's by {difference}, allowed are {gate.difference}")
    return reasons


def write_golden(recipe: Recipe, evaluation: Evaluation, model: Any, path: Path) -> None:
    """Inputs (bytes in base64) with the answers of the torch model, or of the fp32 graphs without one, for replay."""
    cases = [
        {
            "inputs": {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value,
            "answer": evaluation.answer(model, value),
        }
        for value in recipe.golden()
    ]
    golden = {"tolerance": recipe.gate.difference, "expected": recipe.expected, "cases": cases}
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def weight_of(recipe: Recipe, place: Path) -> int:
    """Bytes of the graphs with their weights."""
    paths = [place / name for role in recipe.graphs for name in export.files(role)]
    return sum(path.stat().st_size for path in paths if path.exists())


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return done.stdout.strip()


def machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
