"""`hearth evaluate`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from hearth_build import ZOO
from hearth_build.cli.options import JsonOption, NameArgument, StoreOption, TaskOption
from hearth_build.cli.output import print_json
from hearth_build.cli.suggestions import check_task, similar_models
from hearth_build.cli.train import parse_columns


def evaluate(
    name: NameArgument,
    data: Annotated[Path, typer.Option(help="A file or folder in the format of the model's task.")],
    store: StoreOption = ZOO.as_uri(),
    task: TaskOption = "",
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=NAME: the column that has a role, e.g. label=Rating.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use only this many examples, from the start.", min=1)] = None,
    json: JsonOption = False,
) -> None:
    """Measure a model on your own data."""
    from hearth.models.cache import warm_cache
    from hearth.tasks.task import open_model
    from hearth_build.pipeline.evaluation import evaluation_of, examples_from, measure
    from hearth_build.release.served import tasks_of

    check_task(task)
    os.environ["HEARTH_STORE"] = store
    with similar_models(store, name):
        resolved = warm_cache().resolve(name)
    opened_task, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
    with lease as model:
        examples = examples_from(data, opened_task.id, parse_columns(column or []))[:limit]
        metrics = measure(evaluation_of(opened_task.id), model, examples)
    ref = resolved.ref
    if json:
        print_json({"model": ref.model, "version": ref.version, "examples": len(examples), "metrics": metrics})
        return
    print(f"{ref} on {len(examples)} examples of {data}")
    for metric, value in metrics.items():
        print(f"{metric:>24}  {value:.4f}")
