"""A job of SageMaker Training in the folders of its contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth.models.manifest import parse
from hearth_build.data.datasets import DataError
from hearth_build.recipe import RecipeError
from hearth_build.training.run import run
from hearth_build.training.sagemaker import is_job, plan_of, run_job
from tests.export.training.running import texts, write_csv


def job(root: Path, rows: list[list[str]], **parameters: Any) -> Path:
    given = {"task": '"text-classification"', "name": "reviews", "minutes": "0.3", "column.label": "Rating"}
    (root / "input/config").mkdir(parents=True)
    (root / "input/data/training").mkdir(parents=True)
    (root / "input/config/hyperparameters.json").write_text(json.dumps(given | parameters))
    write_csv(root / "input/data/training/reviews.csv", [["Review", "Rating"], *rows])
    return root


def test_a_job_leaves_the_artifact_and_its_recipe(tmp_path: Path) -> None:
    assert not is_job(tmp_path)
    root = job(tmp_path, texts(), sagemaker_program="train.py")
    (root / "checkpoints").mkdir()
    assert is_job(root)
    run_job(run, root)
    manifest = parse((root / "model/manifest.json").read_bytes())
    assert (manifest.model, manifest.task) == ("reviews", "text-classification")
    assert "task: text-classification" in (root / "output/data/recipe.yaml").read_text()
    assert (root / "checkpoints/reviews").is_dir()  # from which an interrupted job resumes
    assert not (root / "output/failure").exists()


def test_the_reason_of_a_failure_is_left_for_the_job(tmp_path: Path) -> None:
    root = job(tmp_path, texts(5))
    with pytest.raises(DataError):
        run_job(run, root)
    assert "has 5 texts with labels" in (root / "output/failure").read_text()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"epochs": "3"}, "no use for the hyperparameter 'epochs'"),
        ({"name": ""}, "Give the job the hyperparameter 'name'"),
        ({"minutes": "long"}, "A hyperparameter of the job is wrong"),
    ],
)
def test_wrong_hyperparameters_are_named(parameters: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        plan_of(job(tmp_path, texts(5), **parameters))


def test_channels_are_files_or_folders(tmp_path: Path) -> None:
    root = job(tmp_path, texts(5), seed="7")
    plan = plan_of(root)
    assert (Path(plan.data).name, plan.test, plan.seed, plan.columns) == ("reviews.csv", "", 7, {"label": "Rating"})
    (root / "input/data/training/more.csv").write_text("")
    (root / "input/data/test").mkdir()
    plan = plan_of(root)
    assert (Path(plan.data).name, Path(plan.test).name) == ("training", "test")
