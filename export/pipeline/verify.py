"""Measure the torch model, the fp32 graphs and the served graphs with the task's evaluation, and check the gates.

`hearth build RECIPE --step verify` runs it. The manifest is written last: a folder without one is not an artifact.
"""

from __future__ import annotations

import base64
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from msgspec import structs

from hearth.models.download import describe as describe_file
from hearth.models.manifest import Manifest, Metrics, Provenance, Provider, Quantization, Reference, dump
from hearth.models.model import OPENVINO, Model
from hearth_build.drift.reference import make_reference
from hearth_build.onnx_export import export
from hearth_build.onnx_export.reference import ReferenceModel
from hearth_build.pipeline import model_card
from hearth_build.pipeline.evaluation import Evaluation, evaluation_for
from hearth_build.pipeline.intervals import bootstrap
from hearth_build.recipe import (
    BlockInt4,
    DynamicInt8,
    Gate,
    GateError,
    GivenGraphs,
    Quantizer,
    Recipe,
    RecipeError,
    StaticInt8,
)

if TYPE_CHECKING:
    from torch import nn

LATENCY_ROUNDS = 60
LATENCY_SECONDS = 20.0
"""Time limit for all rounds, for slow models."""
DIFFERENCE = "largest golden difference"
"""Name of the metric."""
MAX_EXPORT_DIFFERENCE = 0.01
"""Largest difference of the fp32 graph's golden outputs from the torch model's: more is a wrong export."""
MIN_SPEEDUP = 1.1
"""Minimum speed of another provider relative to the default one: it is larger and loads more slowly."""
METHODS = {
    StaticInt8: "static-int8",
    DynamicInt8: "dynamic-int8",
    BlockInt4: "int4-blocks",
    GivenGraphs: "dynamic-int8",
}


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


@dataclass
class Measurements:
    """Results by kind of model: torch (if there is one), fp32, served, and the name of another provider."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    mismatches: dict[str, list[str]] = field(default_factory=dict)
    """Sentences about outputs of a served model that differ from those the recipe expects."""


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


def manifest_of(
    recipe: Recipe, folder: Path, method: str, command: str, seconds: float, metrics: Metrics | None = None
) -> Manifest:
    """Describe the files in `folder` as a manifest. Raises RecipeError for a recipe that contradicts the graphs."""
    files = sorted(path for path in folder.iterdir() if path.name not in ("manifest.json", "manifest.partial"))
    quantizer: Quantizer = recipe.quantization["main"] if isinstance(recipe.quantization, dict) else recipe.quantization
    try:
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
            quantization=Quantization(method=METHODS.get(type(quantizer), "none"), details=method),  # type: ignore[arg-type]
            metrics=metrics or Metrics(dataset="", torch={}, fp32={}, served={}),
        )
    except ValueError as error:  # two of its fields contradict each other, such as labels and the graph's scores
        raise RecipeError(
            f"The model does not fit its description: {error}. --labels and other flags describe it."
        ) from None


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
    times: dict[str, list[float]] = {kind: [] for kind in models}
    for model in models.values():  # warm up
        evaluation.predict(model, value)
    end = time.perf_counter() + LATENCY_SECONDS
    for _ in range(LATENCY_ROUNDS):
        for kind, model in models.items():
            started = time.perf_counter()
            evaluation.predict(model, value)
            times[kind].append((time.perf_counter() - started) * 1000)
        if time.perf_counter() > end:
            break
    return {kind: statistics.median(values) for kind, values in times.items()}


def require_provider(provider: Provider) -> None:
    """Raises RecipeError if the installed ONNX Runtime does not have this provider."""
    if provider == "openvino" and OPENVINO not in onnxruntime.get_available_providers():
        raise RecipeError(
            "This ONNX Runtime has no OpenVINO. Run pip uninstall onnxruntime, then pip install onnxruntime-openvino."
        )


def choose_provider(
    gate: Gate, evaluation: Evaluation, measurements: Measurements, provider: Provider
) -> tuple[str, str]:
    """Choose between the default provider ("served") and `provider`; returns the choice and the reason, without a
    full stop."""
    default, other = (measurements.metrics[kind]["milliseconds"] for kind in ("served", provider))
    times = f"{other:.3g} ms with the provider {provider}, {default:.3g} ms with ONNX Runtime's default provider"
    if failures := gate_failures(gate, evaluation, measurements, provider):
        return "served", f"{times}; {provider} misses a gate and was not chosen: {'; '.join(failures)}"
    if default < MIN_SPEEDUP * other:
        return "served", f"{times}; {provider} was not chosen because it is not {MIN_SPEEDUP} times as fast"
    return provider, f"{times}; {provider} was chosen"


def gate_failures(gate: Gate, evaluation: Evaluation, measurements: Measurements, kind: str) -> list[str]:
    """The reasons why the model of this kind must not be served."""
    failures = [f"unexpected output: {mismatch}" for mismatch in measurements.mismatches[kind]]
    served, fp32 = measurements.metrics[kind], measurements.metrics["fp32"]
    if "torch" in measurements.metrics and fp32[DIFFERENCE] > MAX_EXPORT_DIFFERENCE:
        failures.append(
            f"the exported graph is wrong: its golden outputs differ by {fp32[DIFFERENCE]:.3g} from the torch model's"
        )
    if gate.accepts_rounding:
        return failures
    metric = evaluation.metric
    if metric in served:
        if evaluation.loss(gate.metric, served[metric]) > 0:
            side = "below" if evaluation.higher_is_better else "above"
            failures.append(f"{metric} {served[metric]:.4f} is {side} {gate.metric}")
        loss = evaluation.loss(fp32[metric], served[metric])
        if loss > gate.quantization_loss:
            failures.append(f"quantization costs {loss:.4f} of {metric}; at most {gate.quantization_loss} is allowed")
    if served[DIFFERENCE] > gate.difference:
        difference = f"{served[DIFFERENCE]:.3f}"
        failures.append(
            f"golden outputs differ by {difference} from the reference model's; at most {gate.difference} is allowed"
        )
    return failures


def golden_tolerance(gate: Gate, difference: float) -> float:
    """The tolerance for replays of golden answers; beyond the gate it leaves room for another processor's rounding."""
    return gate.difference if difference <= gate.difference else 1.25 * difference


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


def graph_bytes(recipe: Recipe, folder: Path) -> int:
    """Size of the graphs with their weights."""
    paths = [folder / name for role in recipe.graphs for name in export.files(role)]
    return sum(path.stat().st_size for path in paths if path.exists())


def commit() -> str:
    """The git commit of this code; empty outside a repository."""
    process = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    return process.stdout.strip()


def machine() -> str:
    """The processor, and what computes on it: torch, unless the graph was given."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    torch = sys.modules.get("torch")
    if torch is None:
        return f"{name}, onnxruntime {onnxruntime.__version__}"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
