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

MAX_PRINTED_FAILURES = 20
"""Failures of a run on AWS that are printed. All of them are stored beside the results."""
console = Console()


def batch(
    model: Annotated[str, typer.Argument(help="A model's name; for a local folder also name@version or name@alias.")],
    source: Annotated[
        str, typer.Argument(help="s3://BUCKET/batch/MODEL/… of a stack, or a local folder (a path or file:///path).")
    ],
    stack: Annotated[str, typer.Option(help="For s3://: the stack whose state machine runs the batch.")] = DEFAULT,
    items_per_batch: Annotated[
        int, typer.Option(help="For s3://: objects per Lambda invocation.", min=1, max=1000)
    ] = 20,
    concurrency: Annotated[
        int | None,
        typer.Option(help="Parallel Lambda invocations (default 10), or local threads (default one per CPU).", min=1),
    ] = None,
    tolerated: Annotated[int, typer.Option(help="Percentage of items that may fail.", min=0, max=100)] = 5,
    run: Annotated[
        str | None, typer.Option(help="Continue this earlier run: items that have a result are skipped.")
    ] = None,
    store: Annotated[
        str, typer.Option(envvar="HEARTH_STORE", help="For a local folder: the store of the model.")
    ] = ZOO.as_uri(),
    output: Annotated[
        str, typer.Option(help="For a local folder: where results are written, a folder or a store.")
    ] = "results",
) -> None:
    """Run a model over every object under an S3 prefix, on AWS, or over every file of a local folder."""
    if source.startswith("s3://"):
        options = {
            "items_per_batch": items_per_batch,
            "concurrency": concurrency or 10,
            "tolerated_percent": tolerated,
        }
        succeeded = _run_on_aws(model, source, stack, options, run)
    else:
        threads = concurrency or os.cpu_count() or 1
        succeeded = _run_locally(model, _uri(source), _uri(output), store, run, threads, tolerated)
    if not succeeded:
        sys.exit(1)


def _uri(location: str) -> str:
    return location if "://" in location else Path(location).resolve().as_uri()


def _run_locally(
    model: str, source_uri: str, output: str, store: str, run: str | None, threads: int, tolerated: int
) -> bool:
    from hearth.async_inference.batch import BatchJob, FailedItem
    from hearth_build.cloud.batch_run import Counts, run_locally
    from hearth_build.release.served import manifest_of, tasks_of

    source = open_store(source_uri)
    if source_uri.startswith("file:") and next(source.iter_paths(), None) is None:
        raise BadRequest(f"There is no file in {source_uri}")
    os.environ["HEARTH_STORE"] = store
    os.environ.setdefault("HEARTH_THREADS", "1")  # the files are processed in parallel, one thread each
    tasks = tasks_of(manifest_of(open_store(store), model).task)
    job = BatchJob(tasks, model, source, open_store(output), run or model.replace("@", "-"))

    def print_failure(failure: FailedItem) -> None:
        console.print(f"{failure.key}: {failure.error_type}: {failure.error}", markup=False, highlight=False)

    with errors_only(), console.status("") as status:

        def show_progress(counts: Counts) -> None:
            status.update(str(counts))

        counts = run_locally(job, threads, print_failure, show_progress)
    console.print(f"{counts}; results are in {output}/{job.run}/", markup=False, highlight=False)
    return counts.percent_failed <= tolerated


@contextmanager
def errors_only() -> Iterator[None]:
    """Log errors only: nobody reads a log line per file on a terminal."""
    from hearth.telemetry import log

    level = log.logger().level
    log.logger().setLevel("ERROR")
    try:
        yield
    finally:
        log.logger().setLevel(level)


def _run_on_aws(model: str, source: str, stack_name: str, options: dict[str, int], run: str | None) -> bool:
    from hearth_build.cloud.batch_run import Counts, batch_results, start_execution, watch_execution
    from hearth_build.cloud.stack import describe_stack

    stack = describe_stack(stack_name)
    execution, run = start_execution(stack, model, source, options, run)
    console.print(f"Started run {run}: {execution}", markup=False, highlight=False)
    with console.status("") as status:
        for state, items, reason in watch_execution(execution):  # noqa: B007 -- the last reason is printed below
            status.update(f"{state.lower()}: {items.get('succeeded', 0)} of {items.get('total', 0)} objects")
    bucket, counts, printed = stack.output("ResultBucketName"), Counts(), 0
    for result in batch_results(open_store(f"s3://{bucket}"), run):
        counts.succeeded += result["done"]
        counts.failed += len(result["failed"])
        for row in result["failed"][: MAX_PRINTED_FAILURES - printed]:
            console.print(f"{row['key']}: {row['error_type']}: {row['error']}", markup=False, highlight=False)
            printed += 1
    if reason:
        console.print(f"Reason given by the state machine: {reason}", markup=False, highlight=False)
    console.print(f"{state}: {counts}; results are in s3://{bucket}/results/{run}/", markup=False, highlight=False)
    console.print(f"The result of each invocation is in s3://{bucket}/batches/{run}/", markup=False, highlight=False)
    return state == "SUCCEEDED" and counts.percent_failed <= options["tolerated_percent"]
