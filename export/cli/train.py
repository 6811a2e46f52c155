"""`hearth train`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()


def train(
    task: Annotated[str | None, typer.Argument(help="The task, e.g. text-classification.")] = None,
    data: Annotated[str | None, typer.Option(help="File or folder of examples, also s3://BUCKET/PATH.")] = None,
    test: Annotated[
        str | None, typer.Option(help="Test data of your own. Without it, a part of --data is held out.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=NAME: the column that has a role, e.g. label=Rating, group=patient, time=date."),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option("--from", help="What to start from: a folder, OWNER/NAME of the Hugging Face hub, or a preset."),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time for all of it.", min=0.1)] = 15.0,
    precision: Annotated[str, typer.Option(help="int8 or fp32.")] = "int8",
    size: Annotated[
        str, typer.Option(help="small: half of the encoder's layers learn from the fine-tuned one; twice as fast.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of splits and training.")] = 1,
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "not stated",
    recipe: Annotated[Path | None, typer.Option(help="Repeat the training that wrote this recipe.yaml.")] = None,
    check: Annotated[bool, typer.Option(help="Stop after the report on the data.")] = False,
    work: Annotated[Path | None, typer.Option(help="Folder for the files of the steps. Default: build/NAME.")] = None,
    store: Annotated[str | None, typer.Option(help="Publish the model there, without an alias.")] = None,
) -> None:
    """Train a model on your own data: report, candidates, test, quantization, artifact. An interrupted run resumes.

    Without arguments in a container of SageMaker Training, it reads those of the job.
    """
    import msgspec

    from hearth_build.training import plan as plans
    from hearth_build.training import sagemaker
    from hearth_build.training.run import run

    if recipe is None and task is None and data is None and sagemaker.is_job():
        sagemaker.run_job(run)
        return
    folder = work or Path("build") / (name or "model")
    if recipe is not None:
        plan = plans.load(recipe)
        folder = work or Path("build") / plan.name
    elif not (task and data and name):
        raise typer.BadParameter("Give TASK, --data PATH and --name NAME, or --recipe FILE.")
    else:
        fields = {
            "task": task,
            "name": name,
            "data": on_disk(data, folder.with_name(f"{folder.name}.data")),
            "test": on_disk(test, folder.with_name(f"{folder.name}.test")) if test else "",
            "columns": parse_columns(column or []),
            "base": base or "",
            "minutes": minutes,
            "precision": precision,
            "size": size,
            "seed": seed,
            "licence": licence,
        }
        try:
            plan = msgspec.convert(fields, plans.Plan)
        except msgspec.ValidationError as error:
            raise typer.BadParameter(str(error)) from None
    artifact = run(plan, folder, shlex.join(["hearth", *sys.argv[1:]]), check=check)
    if artifact is None:
        return
    if store is None:
        console.print(f"Next: hearth publish {artifact} --store STORE --alias prod", highlight=False, markup=False)
        return
    from hearth.storage.open import open_store
    from hearth_build.release.publish import publish

    manifest = publish(open_store(store), artifact)
    published = f"{manifest.model}@{manifest.version}"
    console.print(f"Published {published}", highlight=False, markup=False)
    following = f"hearth alias {manifest.model} prod {manifest.version} --store {store}"
    console.print(f"Next: {following}", highlight=False, markup=False, soft_wrap=True)


def on_disk(path: str, folder: Path) -> str:
    """A path; data in S3 are copied into a folder first."""
    from hearth_build.data import remote

    return str(remote.fetch(path, folder)) if remote.is_remote(path) else path


def parse_columns(columns: list[str]) -> dict[str, str]:
    """Names of columns by role, from `ROLE=NAME`."""
    parsed = {}
    for text in columns:
        role, separator, name = text.partition("=")
        if not separator or not role or not name:
            raise typer.BadParameter(f"--column {text} must be ROLE=NAME, for example label=Rating.")
        parsed[role.strip()] = name
    return parsed
