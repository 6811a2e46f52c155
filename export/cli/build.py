"""`hearth build`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hearth.models.manifest import Provider


def build(
    recipe: Annotated[str | None, typer.Argument(help="Name of a recipe. Without a name, all are listed.")] = None,
    step: Annotated[
        str | None, typer.Option(help="Run only this step: prepare, train, export, quantize or verify.")
    ] = None,
    work: Annotated[Path | None, typer.Option(help="Folder for the files of the steps. Default: build/NAME.")] = None,
    provider: Annotated[
        Provider,
        typer.Option(help="Also measure this execution provider, and use it if it is faster and as accurate."),
    ] = "cpu",
) -> None:
    """Build an artifact in five steps: prepare, train, export, quantize, verify. An interrupted build resumes."""
    from hearth_build import recipe as recipes
    from hearth_build.pipeline.build import Step
    from hearth_build.pipeline.build import build as run

    if recipe is None:
        raise typer.BadParameter(f"Name a recipe: {', '.join(recipes.names())}. `hearth import` imports a model.")
    loaded = recipes.load(recipe)
    if step is not None and step not in list(Step):
        raise typer.BadParameter(f"--step must be one of {', '.join(Step)}.")
    command = shlex.join(["hearth", *sys.argv[1:]])
    run(loaded, work or Path("build") / loaded.name, command, Step(step) if step else None, provider)
