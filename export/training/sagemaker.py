"""`hearth train` without arguments in a container of SageMaker Training: where it finds its arguments and data, and
where it leaves its model.

https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import json
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from hearth_build.data.datasets import DataError
from hearth_build.data.files import visible
from hearth_build.recipe import GateError, RecipeError
from hearth_build.training.plan import Plan

ROOT = Path("/opt/ml")
CHANNELS = ("training", "train", "data")
"""Names of the channel with the data; the first that exists."""
TEST_CHANNELS = ("test", "testing", "validation")
PARAMETERS = ("task", "name", "from", "minutes", "precision", "size", "seed", "licence")
COLUMN = "column."
Train = Callable[[Plan, Path, str], Path | None]


def is_job(root: Path = ROOT) -> bool:
    return (root / "input/config/hyperparameters.json").is_file()


def run_job(train: Train, root: Path = ROOT) -> None:
    """Train by the hyperparameters of the job. An error is also written to `output/failure`, which the job reports."""
    try:
        plan = plan_of(root)
        # SageMaker keeps `checkpoints` in S3, from which an interrupted job on spot instances resumes.
        kept = root / "checkpoints"
        work = (kept if kept.is_dir() else root / "work") / plan.name
        artifact = train(plan, work, "hearth train")
        assert artifact is not None
        shutil.copytree(artifact, root / "model", dirs_exist_ok=True)
        (root / "output/data").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(work / "recipe.yaml", root / "output/data/recipe.yaml")
    except (DataError, RecipeError, GateError) as error:
        write_failure(root, str(error))
        raise
    except Exception:
        write_failure(root, traceback.format_exc()[-1000:])
        raise


def write_failure(root: Path, message: str) -> None:
    (root / "output").mkdir(parents=True, exist_ok=True)
    (root / "output/failure").write_text(message[:1024], encoding="utf-8")
    print(message, file=sys.stderr)


def plan_of(root: Path) -> Plan:
    """The plan of the job. Raises RecipeError, which names the hyperparameter or the channel that is missing."""
    given = {name: plain(value) for name, value in read_parameters(root).items() if not name.startswith("sagemaker_")}
    unknown = [name for name in given if name not in PARAMETERS and not name.startswith(COLUMN)]
    if unknown:
        raise RecipeError(
            f"The job has no use for the hyperparameter {unknown[0]!r}; there are {', '.join(PARAMETERS)}, and "
            f"{COLUMN}ROLE for the name of a column."
        )
    if missing := [name for name in ("task", "name") if not given.get(name)]:
        raise RecipeError(f"Give the job the hyperparameter {missing[0]!r}.")
    data, test = channel(root, CHANNELS), channel(root, TEST_CHANNELS)
    if data is None:
        raise RecipeError(f"The job has no data: give it a channel named {CHANNELS[0]!r}.")
    columns = {name.removeprefix(COLUMN): value for name, value in given.items() if name.startswith(COLUMN)}
    fields: dict[str, Any] = {name: given[name] for name in PARAMETERS if name in given and name != "from"}
    fields |= {"base": given.get("from", ""), "data": str(data), "test": str(test or ""), "columns": columns}
    try:
        return msgspec.convert(fields, Plan, strict=False)
    except msgspec.ValidationError as error:
        raise RecipeError(f"A hyperparameter of the job is wrong: {error}.") from None


def read_parameters(root: Path) -> dict[str, Any]:
    path = root / "input/config/hyperparameters.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}.") from None


def plain(value: Any) -> str:
    """A hyperparameter as text; SageMaker's SDK writes JSON into texts, such as `"int8"` with its quotation marks."""
    try:
        decoded = json.loads(value)
    except (ValueError, TypeError):
        return str(value)
    return decoded if isinstance(decoded, str) else str(value)


def channel(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of the first channel that exists, or the file in it if it has only one."""
    folder = next((root / "input/data" / name for name in names if (root / "input/data" / name).is_dir()), None)
    if folder is None:
        return None
    content = [path for path in sorted(folder.iterdir()) if visible([path.name])]
    return content[0] if len(content) == 1 else folder
