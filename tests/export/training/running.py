"""Trains on a tiny data set, from its file to the answers of the artifact."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any
from unittest import mock

from hearth.models.manifest import Manifest, parse
from hearth.models.model import Model
from hearth_build.pipeline import measurements
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy


def train_on(task: str, data: Path, work: Path, **fields: Any) -> tuple[Manifest, Any]:
    """Train, and return the manifest and a function from an input to the summary of the answer."""
    plan = Plan(task=task, name="tiny", data=str(data), **{"minutes": 0.3, **fields})
    with mock.patch.object(measurements, "LATENCY_ROUNDS", 2):
        artifact = run(plan, work, "hearth train")
    assert artifact is not None
    manifest = parse((artifact / "manifest.json").read_bytes())
    model: Any = Model(manifest, artifact, threads=1)
    evaluation = evaluation_of(task)
    return manifest, lambda value: evaluation.summarize(evaluation.predict(model, value))


def write_csv(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    return path


def texts(count: int = 200) -> list[list[str]]:
    """Rows of a text and its label."""
    return [[text, ("bad", "good")[label]] for text, label in toy.sentences(3, count)]
