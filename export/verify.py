"""Measures torch model, fp32 graph and served graph through the function's own encode and decode, and judges.

`hearth build RECIPE --step verify` runs it. The manifest is written last: a folder without one is not an artifact.
"""

from __future__ import annotations

import base64
import importlib
import json
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from export import graph, report
from export.recipe import Example, Gate, Gated, Recipe, StaticInt8
from hearth.manifest import Graph, Manifest, Metrics, Provenance, Quantization, dump
from hearth.model import Model
from hearth.store import describe as describe_file

BATCH = 32
LATENCY_ROUNDS = 60
Scores = dict[str, float]
"""By label."""


class TorchModel:
    """The torch network in the place of a loaded artifact."""

    def __init__(self, network: nn.Module, served: Model) -> None:
        self.network, self.manifest, self.tokenizer = network, served.manifest, served.tokenizer

    def run(self, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            logits = self.network(**{name: torch.from_numpy(value) for name, value in feeds.items()})
        return [logits.numpy()]


@dataclass
class Measured:
    """Each metric of the three: torch, fp32, served."""

    metrics: dict[str, dict[str, float]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    golden_difference: float = 0.0
    wrong: list[str] = field(default_factory=list)


KINDS = ("torch", "fp32", "served")


def verify(recipe: Recipe, work: Path, *, method: str, command: str, seconds: float) -> Manifest:
    """Measure, write golden.json, report.png, report.md and, when every gate is met, manifest.json. Raises Gated."""
    folder = work / "artifact"
    (folder / "manifest.json").unlink(missing_ok=True)
    for place in (folder, work / "fp32"):
        if (work / "tokenizer.json").exists():
            shutil.copyfile(work / "tokenizer.json", place / "tokenizer.json")
    draft = manifest_of(recipe, folder, method, command, seconds)
    served = Model(draft, folder, threads=1)
    models = {
        "torch": TorchModel(graph.network_of(recipe, work), served),
        "fp32": Model(draft, work / "fp32", threads=1),
        "served": served,
    }
    function = importlib.import_module(f"functions.{recipe.task.replace('-', '_')}.app")
    measured = measure(recipe, work, function, models)
    write_golden(recipe, function, models["torch"], folder / "golden.json")
    report.draw(recipe, measured.metrics, folder / "report.png")
    for kind, place in (("torch", work / "raw.onnx"), ("fp32", work / "fp32"), ("served", folder)):
        measured.metrics[kind]["bytes"] = float(weight_of(place))
    metrics = Metrics(dataset=", ".join(recipe.dev) or "golden inputs", **measured.metrics)
    draft = manifest_of(recipe, folder, method, command, seconds, metrics)
    (folder / "report.md").write_text(report.card(recipe, draft, measured.golden_difference), encoding="utf-8")
    judge(recipe.gate, measured, sum(path.stat().st_size for path in folder.iterdir()))
    manifest = manifest_of(recipe, folder, method, command, seconds, metrics)
    partial = folder / "manifest.partial"
    partial.write_bytes(dump(manifest))
    partial.replace(folder / "manifest.json")
    return manifest


def manifest_of(
    recipe: Recipe, folder: Path, method: str, command: str, seconds: float, metrics: Metrics | None = None
) -> Manifest:
    """The manifest of what lies in `folder`."""
    files = sorted(path for path in folder.iterdir() if path.name not in ("manifest.json", "manifest.partial"))
    main: Graph = graph.describe(folder)
    quantization = "static-int8" if isinstance(recipe.quantization, StaticInt8) else "dynamic-int8"
    return Manifest(
        model=recipe.name,
        version=recipe.version,
        task=recipe.task,
        files=tuple(describe_file(path) for path in files),
        graphs={"main": main},
        preprocessing=recipe.preprocessing,
        labels=recipe.labels,
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
        quantization=Quantization(method=quantization, details=method),
        metrics=metrics or Metrics(dataset="", torch={}, fp32={}, served={}),
    )


def measure(recipe: Recipe, work: Path, function: ModuleType, models: dict[str, Any]) -> Measured:
    measured = Measured()
    for number, (name, read) in enumerate(recipe.dev.items()):
        examples = read(work)
        for kind, model in models.items():
            suffix = "" if number == 0 else f" ({name})"
            found = ask(function, model, [example.inputs for example in examples])
            measured.metrics[kind] |= {
                f"{key}{suffix}": value for key, value in quality(recipe, examples, found).items()
            }
    inputs = list(recipe.golden())
    answers = {kind: ask(function, model, inputs) for kind, model in models.items()}
    for kind in KINDS:
        pairs = zip(answers["torch"], answers[kind], strict=True)
        difference = max(abs(a[label] - b[label]) for a, b in pairs for label in recipe.labels)
        measured.metrics[kind]["largest score difference"] = difference
    measured.golden_difference = measured.metrics["served"]["largest score difference"]
    for text, label in recipe.expected.items():
        found_label = top(ask(function, models["served"], [text])[0])
        if found_label != label:
            measured.wrong.append(f"{text!r} is {found_label}, not {label}")
    for kind, value in latency(function, models, inputs[0]).items():
        measured.metrics[kind]["milliseconds"] = value
    return measured


def ask(function: ModuleType, model: Any, inputs: Sequence[str | bytes]) -> list[Scores]:
    """Every label's score of every input, in batches."""
    found: list[Scores] = []
    parameters = function.Parameters(top_k=len(model.manifest.labels))
    size = min(BATCH, model.manifest.limits.batch)
    for start in range(0, len(inputs), size):
        request = function.Request(inputs=list(inputs[start : start + size]), parameters=parameters)
        outputs = model.run(function.encode(model, request))
        found += [{score.label: score.score for score in row} for row in function.decode(model, request, outputs)]
    return found


def top(scores: Scores) -> str:
    return max(scores, key=lambda label: scores[label])


def quality(recipe: Recipe, examples: Sequence[Example], found: Sequence[Scores]) -> dict[str, float]:
    """Accuracy and the mean of the labels' F1."""
    wanted = np.array([example.label for example in examples])
    given = np.array([recipe.labels.index(top(scores)) for scores in found])
    ones = []
    for label in range(len(recipe.labels)):
        both = np.sum((wanted == label) & (given == label))
        either = np.sum(wanted == label) + np.sum(given == label)
        ones.append(2 * both / either if either else 0.0)
    return {"accuracy": float(np.mean(wanted == given)), "F1": float(np.mean(ones))}


def latency(function: ModuleType, models: dict[str, Any], value: str | bytes) -> dict[str, float]:
    """Median milliseconds of one input, encode to decode, on one thread; the models take turns."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken: dict[str, list[float]] = {kind: [] for kind in models}
    for number in range(LATENCY_ROUNDS + 5):
        for kind, model in models.items():
            started = time.perf_counter()
            ask(function, model, [value])
            if number >= 5:  # the first ones warm up
                taken[kind].append((time.perf_counter() - started) * 1000)
    torch.set_num_threads(threads)
    return {kind: statistics.median(values) for kind, values in taken.items()}


def judge(gate: Gate, measured: Measured, size: int) -> None:
    """Raises Gated with every reason."""
    reasons = [f"expected sentence: {wrong}" for wrong in measured.wrong]
    served, fp32 = measured.metrics["served"], measured.metrics["fp32"]
    if "accuracy" in served:
        if served["accuracy"] < gate.accuracy:
            reasons.append(f"accuracy {served['accuracy']:.4f} is under {gate.accuracy}")
        if fp32["accuracy"] - served["accuracy"] > gate.quantization_loss:
            loss = fp32["accuracy"] - served["accuracy"]
            reasons.append(f"quantization costs {loss:.4f} of accuracy, allowed are {gate.quantization_loss}")
    if measured.golden_difference > gate.score_difference:
        difference = f"{measured.golden_difference:.3f}"
        reasons.append(f"scores differ from the torch model's by {difference}, allowed are {gate.score_difference}")
    if size > gate.bytes:
        reasons.append(f"the folder has {size:,} bytes, allowed are {gate.bytes:,}")
    if reasons:
        raise Gated("No artifact: " + "; ".join(reasons) + ".")


def write_golden(recipe: Recipe, function: ModuleType, model: Any, path: Path) -> None:
    """Inputs (pictures in base64) with the torch model's scores, for replay."""
    inputs = list(recipe.golden())
    cases = [
        {
            "inputs": value if isinstance(value, str) else {"base64": base64.b64encode(value).decode()},
            "scores": scores,
        }
        for value, scores in zip(inputs, ask(function, model, inputs), strict=True)
    ]
    golden = {"tolerance": recipe.gate.score_difference, "expected": recipe.expected, "cases": cases}
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def weight_of(place: Path) -> int:
    """Bytes of a graph with its weights."""
    if place.is_file():
        return place.stat().st_size
    return sum((place / name).stat().st_size for name in (graph.GRAPH, graph.WEIGHTS) if (place / name).exists())


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
