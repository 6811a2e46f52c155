"""Faithfulness of explanations against shap's and captum's, with the same scores and the same number of runs.

`python -m tests.benchmarks.explanations [--samples N] [--runs N]`, in an environment that also has shap and captum.
Every method scores parts of the input by the served model and may do so `--runs` times.

- deletion: mean score while the units are left out, the most important first (lower is better);
- insertion: mean score while they are put back in that order (higher is better);
- sensitivity-n: correlation over random subsets between the values of the units that are left out and what the score
  loses (Ancona 2018; higher is better).
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hearth.ops.attribution import Floats, Masks, attribute, split_grid, split_sequence
from hearth_build import ZOO

Score = Callable[[Masks], Floats]
Split = Callable[[Any], tuple[Any, Any]]
Game = tuple[Score, int, Split, int]
"""Score, number of units, halves of a group, number of columns."""
STEPS = 20
"""Points of a deletion or insertion curve."""
SUBSETS = 100


def hearth(score: Score, units: int, split: Split, columns: int, runs: int) -> Floats:
    return attribute(score, split, units, runs).values


def shap_partition(score: Score, units: int, split: Split, columns: int, runs: int) -> Floats:
    import shap

    tree: list[list[float]] = []

    def build(group: Any) -> tuple[int, int]:
        """The number and size of a group's cluster, in SciPy's form of a linkage."""
        if len(group) == 1:
            return int(group[0]), 1
        (left, first), (right, second) = map(build, split(group))
        tree.append([left, right, len(tree) + 1, first + second])
        return units + len(tree) - 1, first + second

    build(np.arange(units))
    masker = shap.maskers.Partition(np.zeros((1, units)), clustering=np.array(tree, float))
    explainer = shap.PartitionExplainer(lambda rows: score(rows > 0.5), masker)
    return explainer(np.ones((1, units)), max_evals=runs, silent=True).values[0]


def shap_kernel(score: Score, units: int, split: Split, columns: int, runs: int) -> Floats:
    import shap

    explainer = shap.KernelExplainer(lambda rows: score(rows > 0.5), np.zeros((1, units)), silent=True)
    return explainer.shap_values(np.ones((1, units)), nsamples=runs, silent=True)[0]


def _captum(name: str, options: Callable[[int, int], dict[str, int]]) -> Callable[..., Floats]:
    def values(score: Score, units: int, split: Split, columns: int, runs: int) -> Floats:
        import captum.attr
        import torch

        torch.manual_seed(0)

        def forward(rows: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(score(rows.numpy() > 0.5))

        method = getattr(captum.attr, name)(forward)
        return method.attribute(torch.ones(1, units), torch.zeros(1, units), **options(units, runs))[0].numpy()

    return values


def in_order(score: Score, units: int, split: Split, columns: int, runs: int) -> Floats:
    """No explanation: the units in a random order."""
    return np.random.default_rng(0).permutation(units).astype(float)


METHODS = {
    "Hearth": hearth,
    "shap PartitionExplainer": shap_partition,
    "shap KernelExplainer": shap_kernel,
    "captum KernelShap": _captum("KernelShap", lambda units, runs: {"n_samples": runs}),
    "captum Lime": _captum("Lime", lambda units, runs: {"n_samples": runs}),
    "captum ShapleyValueSampling": _captum(
        "ShapleyValueSampling", lambda units, runs: {"n_samples": max(1, runs // units)}
    ),
    "captum FeatureAblation (one run a unit)": _captum("FeatureAblation", lambda units, runs: {}),
    "random order": in_order,
}


def faithfulness(score: Score, values: Floats) -> tuple[float, float, float]:
    """Deletion, insertion and sensitivity-n of the values of one input."""
    units = len(values)
    ranks = np.empty(units, int)
    ranks[np.argsort(-values, kind="stable")] = np.arange(units)
    counts = np.unique(np.linspace(0, units, min(STEPS, units) + 1).round().astype(int))
    removed = ranks[None] >= counts[:, None]
    deletion, insertion = score(removed).mean(), score(~removed).mean()
    generator = np.random.default_rng(1)
    kept = generator.random((SUBSETS, units)) < generator.random((SUBSETS, 1))
    losses = score(np.ones((1, units), bool)) - score(kept)
    sums = ~kept @ values
    correlation = np.corrcoef(losses, sums)[0, 1] if np.ptp(sums) and np.ptp(losses) else 0.0
    return float(deletion), float(insertion), float(correlation)


def texts(data: Path, samples: int) -> Iterator[Game]:
    """SST-2's first long sentences: the score of the label that the zoo's model gives."""
    task, model = _open("sentiment-en", "text-classification")
    with (data / "sentiment_en/sst2_dev.tsv").open(encoding="utf-8") as file:
        sentences = [row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    for sentence in [text for text in sentences if len(text.split()) >= 15][:samples]:
        yield _game(task, model, sentence, split_sequence, 1)


def pictures(data: Path, samples: int) -> Iterator[Game]:
    """CIFAR-10's pictures, eight by eight tiles."""
    task, model = _open("resnet20-cifar10", "image-classification")
    with tarfile.open(data / "image_classification/cifar10_train_jpg.tar.gz") as archive:
        members = [member for member in archive if member.name.endswith((".jpg", ".jpeg"))]
        for member in members[:: max(1, len(members) // samples)][:samples]:
            file = archive.extractfile(member)
            assert file
            yield _game(task, model, file.read(), split_grid(16), 16)


def _open(name: str, task: str) -> tuple[Any, Any]:
    os.environ["HEARTH_STORE"] = ZOO.as_uri()
    from hearth.models.cache import warm_cache
    from hearth.tasks.task import open_model
    from hearth_build.release.served import tasks_of

    opened, lease = open_model(tasks_of(task), warm_cache().resolve(name))
    return opened, lease.model


def _game(task: Any, model: Any, value: Any, split: Split, columns: int) -> Game:
    from hearth import strict_json
    from hearth.tasks.explanation import prepare, score_of
    from hearth.tasks.schema import ExplainOptions

    request = strict_json.convert({"inputs": value}, task.request)
    subject, parts = prepare(task, model, request, ExplainOptions())
    score = score_of(subject, parts)
    return lambda masks: score(masks)[:, 0], parts.count, split, columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--runs", type=int, nargs=2, default=(40, 100), help="for texts and for pictures")
    arguments = parser.parse_args()
    data = Path(os.environ["HEARTH_DATA"])
    for title, games, runs in (
        ("SST-2 sentences of at least 15 words", texts, arguments.runs[0]),
        ("CIFAR-10 pictures, 16 x 16 tiles", pictures, arguments.runs[1]),
    ):
        figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in METHODS}
        for game in games(data, arguments.samples):
            for name, method in METHODS.items():
                figures[name].append(faithfulness(game[0], np.nan_to_num(method(*game, runs))))
        print(f"\n{title}: {len(figures['Hearth'])}, {runs} runs each\n")
        print("| method | deletion (lower) | insertion (higher) | sensitivity-n (higher) |\n|---|---:|---:|---:|")
        for name, rows in figures.items():
            means = [statistics.mean(column) for column in zip(*rows, strict=True)]
            print(f"| {name} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |", flush=True)


if __name__ == "__main__":
    main()
