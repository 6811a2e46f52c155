"""The manifest of a folder of files, from the recipe and from what was measured."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import onnxruntime

from hearth.models.download import describe as describe_file
from hearth.models.manifest import Manifest, Metrics, Provenance, Quantization
from hearth_build.onnx_export import export
from hearth_build.recipe import BlockInt4, DynamicInt8, GivenGraphs, Quantizer, Recipe, RecipeError, StaticInt8

METHODS = {
    StaticInt8: "static-int8",
    DynamicInt8: "dynamic-int8",
    BlockInt4: "int4-blocks",
    GivenGraphs: "dynamic-int8",
}


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
