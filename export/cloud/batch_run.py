"""A model over all objects of a listing: by the stack's Distributed Map, or here over a folder."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from hearth.async_inference.batch import BatchJob, FailedItem, Item
from hearth.errors import BadRequest, HearthError
from hearth.storage.base import Store
from hearth.storage.open import open_store
from hearth.task_table import TASKS
from hearth_build.cloud.stack import AwsError, Stack, client, logical
from hearth_build.release.served import manifest_of

PAUSE = 2.0
"""Seconds between two looks at an execution."""


@dataclass
class Counts:
    done: int = 0
    failed: int = 0

    @property
    def percent_failed(self) -> float:
        return 100 * self.failed / max(1, self.done + self.failed)

    def __str__(self) -> str:
        return f"{self.done} done, {self.failed} failed"


# Here


def run_here(
    job: BatchJob, concurrency: int, on_failure: Callable[[FailedItem], None], on_progress: Callable[[Counts], None]
) -> Counts:
    """Answer everything in the job's source; what has its result already is passed over. Holds few paths at a time."""
    if f"{job.output.uri}/".startswith(f"{job.source.uri}/"):
        raise BadRequest(f"Results cannot go below the inputs: {job.output.uri} is in {job.source.uri}")
    counts, paths = Counts(), job.source.iter_paths()
    with ThreadPoolExecutor(concurrency) as pool:
        waiting: set[Future[FailedItem | None]] = set()
        while True:
            waiting |= {pool.submit(_answer, job, path) for path in islice(paths, 2 * concurrency - len(waiting))}
            if not waiting:
                return counts
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ended:
                failure = future.result()
                if failure:
                    counts.failed += 1
                    on_failure(failure)
                else:
                    counts.done += 1
            on_progress(counts)


def _answer(job: BatchJob, path: str) -> FailedItem | None:
    try:
        return job.process(Item(path))
    except HearthError as error:
        return FailedItem(path, error.code, error.message)


# By the stack


def start(stack: Stack, model: str, where: str, options: dict[str, int], run: str | None) -> tuple[str, str]:
    """Start the state machine over `s3://bucket/prefix`; the execution's ARN and the run's name.

    `options` are items_per_batch, concurrency and tolerated_percent. Raises BadRequest, NotFound, AwsError.
    """
    from botocore.exceptions import ClientError

    url, uploads = urlsplit(where), stack.output("UploadBucketName")
    prefix = url.path.lstrip("/")
    if url.netloc != uploads or not prefix.startswith(f"batch/{model}/"):
        raise BadRequest(f"The stack reads batches of {model} at s3://{uploads}/batch/{model}/ only, not at {where}")
    manifest = manifest_of(open_store(f"s3://{stack.output('ArtifactBucketName')}/models"), model)
    function = logical(TASKS[manifest.task].function)
    if function not in stack.resources:
        raise BadRequest(f"Stack {stack.name} has no function {function} for {model}")
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    run = run or f"{model}-{stamp}-{secrets.token_hex(2)}"
    asked = {"bucket": uploads, "prefix": prefix, "model": model, "function": stack.resources[function], "run": run}
    try:
        begun = client("stepfunctions").start_execution(
            stateMachineArn=stack.output("BatchMachineArn"),
            name=f"{run[:60]}-{secrets.token_hex(4)}",
            input=json.dumps(asked | options),
        )
    except ClientError as error:
        raise AwsError(f"The batch could not be started: {error}") from error
    return begun["executionArn"], run


def watch(execution: str, pause: float = PAUSE) -> Iterator[tuple[str, dict[str, int], str]]:
    """Status, the counts of items (`total`, `succeeded`, `failed`, …) and what went wrong, until the execution ended.

    The last one's status says how: SUCCEEDED, FAILED, TIMED_OUT or ABORTED; a sentence why comes with the last three.
    """
    machine = client("stepfunctions")
    while True:
        told = machine.describe_execution(executionArn=execution)
        status, why = told["status"], ": ".join(told[field] for field in ("error", "cause") if told.get(field))
        runs = machine.list_map_runs(executionArn=execution)["mapRuns"]
        counts = machine.describe_map_run(mapRunArn=runs[0]["mapRunArn"])["itemCounts"] if runs else {}
        yield status, counts, why
        if status != "RUNNING":
            return
        time.sleep(pause)


def outcomes(results: Store, run: str) -> Iterator[dict[str, Any]]:
    """What each batch of a run answered (`done`, `failed`): the map's result writer puts it below `batches/<run>/`."""
    for path in results.iter_paths(f"batches/{run}/"):
        kind = path.rpartition("/")[2].partition("_")[0]
        for row in json.loads(results.get(path)) if kind in ("SUCCEEDED", "FAILED") else ():
            yield json.loads(row["Output"]) if kind == "SUCCEEDED" else _lost(row)


def _lost(row: dict[str, Any]) -> dict[str, Any]:
    """The answer of an invocation that gave none: none of its objects is known to be done."""
    why = {"error_type": row.get("Error", "failed"), "error": row.get("Cause", "the map tells no cause")}
    return {"done": 0, "failed": [{"key": item["Key"], **why} for item in json.loads(row["Input"])["Items"]]}
