"""`hearth batch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hearth.errors import BadRequest
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.cloud.stack import DEFAULT

SHOWN = 20
"""Failures that are printed of a run on AWS; all of them lie beside its results."""
console = Console()


def batch(
    model: Annotated[str, typer.Argument(help="A model: name, or here also name@version or name@alias.")],
    where: Annotated[str, typer.Argument(help="s3://bucket/batch/MODEL/… of a stack; or a folder or file:///path.")],
    stack: Annotated[str, typer.Option(help="Whose state machine runs what lies in S3.")] = DEFAULT,
    items_per_batch: Annotated[int, typer.Option(help="Objects an invocation.", min=1, max=1000)] = 20,
    concurrency: Annotated[int | None, typer.Option(help="Invocations, or threads here, at once.", min=1)] = None,
    tolerated: Annotated[int, typer.Option(help="Percent that may fail.", min=0, max=100)] = 5,
    run: Annotated[str | None, typer.Option(help="A run to go on with: what is done is passed over.")] = None,
    store: Annotated[str, typer.Option(envvar="HEARTH_STORE", help="Of models, for a folder.")] = ZOO.as_uri(),
    output: Annotated[str, typer.Option(help="Of a folder's results: another folder, or a store.")] = "results",
) -> None:
    """A model over every object below a prefix, on AWS; or over every file of a folder, here."""
    if where.startswith("s3://"):
        options = {
            "items_per_batch": items_per_batch,
            "concurrency": concurrency or 10,
            "tolerated_percent": tolerated,
        }
        fine = _on_aws(model, where, stack, options, run)
    else:
        fine = _here(model, _uri(where), _uri(output), store, run, concurrency or os.cpu_count() or 1, tolerated)
    if not fine:
        sys.exit(1)


def _uri(where: str) -> str:
    return where if "://" in where else Path(where).resolve().as_uri()


def _here(model: str, where: str, output: str, store: str, run: str | None, concurrency: int, tolerated: int) -> bool:
    from hearth.async_inference.batch import BatchJob, FailedItem
    from hearth_build.cloud.batch_run import Counts, run_here
    from hearth_build.release.served import manifest_of, tasks_of

    source = open_store(where)
    if where.startswith("file:") and next(source.iter_paths(), None) is None:
        raise BadRequest(f"There is no file in {where}")
    os.environ["HEARTH_STORE"] = store
    os.environ.setdefault("HEARTH_THREADS", "1")  # files share the processors
    tasks = tasks_of(manifest_of(open_store(store), model).task)
    job = BatchJob(tasks, model, source, open_store(output), run or model.replace("@", "-"))

    def tell(failure: FailedItem) -> None:
        console.print(f"{failure.key}: {failure.error_type}: {failure.error}", markup=False, highlight=False)

    with _quiet(), console.status("") as status:

        def show(counts: Counts) -> None:
            status.update(str(counts))

        counts = run_here(job, concurrency, tell, show)
    console.print(f"{counts}; results lie in {output}/{job.run}/", markup=False, highlight=False)
    return counts.percent_failed <= tolerated


@contextmanager
def _quiet() -> Iterator[None]:
    """A line an object is none that anybody reads."""
    from hearth.telemetry import log

    level = log.logger().level
    log.logger().setLevel("ERROR")
    try:
        yield
    finally:
        log.logger().setLevel(level)


def _on_aws(model: str, where: str, name: str, options: dict[str, int], run: str | None) -> bool:
    from hearth_build.cloud.batch_run import Counts, outcomes, start, watch
    from hearth_build.cloud.stack import stack

    deployed = stack(name)
    execution, run = start(deployed, model, where, options, run)
    console.print(f"Run {run} has begun: {execution}", markup=False, highlight=False)
    with console.status("") as status:
        for told in watch(execution):
            state, items, why = told
            status.update(f"{state.lower()}: {items.get('succeeded', 0)} of {items.get('total', 0)} objects")
    bucket, counts, shown = deployed.output("ResultBucketName"), Counts(), 0
    for answer in outcomes(open_store(f"s3://{bucket}"), run):
        counts.done += answer["done"]
        counts.failed += len(answer["failed"])
        for row in answer["failed"][: SHOWN - shown]:
            console.print(f"{row['key']}: {row['error_type']}: {row['error']}", markup=False, highlight=False)
            shown += 1
    if why:
        console.print(f"The machine says: {why}", markup=False, highlight=False)
    console.print(f"{state}: {counts}; results lie in s3://{bucket}/results/{run}/", markup=False, highlight=False)
    console.print(f"What each invocation answered lies in s3://{bucket}/batches/{run}/", markup=False, highlight=False)
    return state == "SUCCEEDED" and counts.percent_failed <= options["tolerated_percent"]
