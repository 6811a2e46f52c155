"""Run a model over all objects of a listing: with the stack's Distributed Map, or locally over a folder."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hearth.async_inference.batch import BatchJob, FailedItem, Item
from hearth.errors import BadRequest, HearthError
from hearth.storage.base import Store
from hearth.storage.open import open_store
from hearth_build.cloud.stack import AwsError, Stack, client
from hearth_build.release.served import manifest_of

POLL_SECONDS = 2.0
"""Seconds between two polls of an execution."""


@dataclass
class Counts:
    succeeded: int = 0
    failed: int = 0

    @property
    def percent_failed(self) -> float:
        return 100 * self.failed / max(1, self.succeeded + self.failed)

    def __str__(self) -> str:
        return f"{self.succeeded} succeeded, {self.failed} failed"


# Local folders


def run_locally(
    job: BatchJob, concurrency: int, on_failure: Callable[[FailedItem], None], on_progress: Callable[[Counts], None]
) -> Counts:
    """Process every object of the job's source that has no result yet. Holds only a few paths in memory at a time."""
    if f"{job.output.uri}/".startswith(f"{job.source.uri}/"):
        raise BadRequest(f"Results must not be written below the inputs: {job.output.uri} is in {job.source.uri}")
    counts, paths = Counts(), job.source.iter_paths()
    with ThreadPoolExecutor(concurrency) as pool:
        pending: set[Future[FailedItem | None]] = set()
        while True:
            pending |= {pool.submit(_process, job, path) for path in islice(paths, 2 * concurrency - len(pending))}
            if not pending:
                return counts
            completed, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in completed:
                failure = future.result()
                if failure:
                    counts.failed += 1
                    on_failure(failure)
                else:
                    counts.succeeded += 1
            on_progress(counts)


def _process(job: BatchJob, path: str) -> FailedItem | None:
    try:
        return job.process(Item(path))
    except HearthError as error:
        return FailedItem(path, error.code, error.message)


# AWS


def start_execution(stack: Stack, model: str, source: str, options: dict[str, int], run: str | None) -> tuple[str, str]:
    """Start the state machine over `s3://bucket/prefix`; returns the execution's ARN and the run's name.

    `options` are items_per_batch, concurrency and tolerated_percent. Raises BadRequest, NotFound, AwsError.
    """
    from botocore.exceptions import ClientError

    uploads = stack.output("UploadBucketName")
    bucket, _, prefix = source.removeprefix("s3://").partition("/")
    if bucket != uploads or not prefix.startswith(f"batch/{model}/"):
        raise BadRequest(f"Inputs of a batch of {model} must be in s3://{uploads}/batch/{model}/, not in {source}")
    # An unknown model is an error before the batch starts.
    manifest_of(open_store(f"s3://{stack.output('ArtifactBucketName')}/models"), model)
    timestamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    run = run or f"{model}-{timestamp}-{secrets.token_hex(2)}"
    target = {"bucket": uploads, "prefix": prefix, "model": model, "run": run}
    try:
        response = client("stepfunctions").start_execution(
            stateMachineArn=stack.output("BatchMachineArn"),
            name=f"{run[:60]}-{secrets.token_hex(4)}",
            input=json.dumps(target | options),
        )
    except ClientError as error:
        raise AwsError(f"The batch could not be started: {error}") from error
    return response["executionArn"], run


def watch_execution(execution: str, poll_seconds: float = POLL_SECONDS) -> Iterator[tuple[str, dict[str, int], str]]:
    """Yield the status, the item counts (`total`, `succeeded`, `failed`, …) and the error until the execution ends.

    The last status is SUCCEEDED, FAILED, TIMED_OUT or ABORTED; the error is empty for SUCCEEDED.
    """
    stepfunctions = client("stepfunctions")
    while True:
        description = stepfunctions.describe_execution(executionArn=execution)
        status = description["status"]
        error = ": ".join(description[field] for field in ("error", "cause") if description.get(field))
        map_runs = stepfunctions.list_map_runs(executionArn=execution)["mapRuns"]
        counts = stepfunctions.describe_map_run(mapRunArn=map_runs[0]["mapRunArn"])["itemCounts"] if map_runs else {}
        yield status, counts, error
        if status != "RUNNING":
            return
        time.sleep(poll_seconds)


def batch_results(results: Store, run: str) -> Iterator[dict[str, Any]]:
    """Yield the result (`done`, `failed`) of each batch of a run. The map's result writer stores them below
    `batches/<run>/`."""
    for path in results.iter_paths(f"batches/{run}/"):
        status = path.rpartition("/")[2].partition("_")[0]
        if status not in ("SUCCEEDED", "FAILED"):
            continue
        for row in json.loads(results.get(path)):
            yield json.loads(row["Output"]) if status == "SUCCEEDED" else _failed_batch(row)


def _failed_batch(row: dict[str, Any]) -> dict[str, Any]:
    """The result of an invocation that failed as a whole: none of its objects is known to be processed."""
    failure = {"error_type": row.get("Error", "failed"), "error": row.get("Cause", "the map gives no cause")}
    return {"done": 0, "failed": [{"key": item["Key"], **failure} for item in json.loads(row["Input"])["Items"]]}
