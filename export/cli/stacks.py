"""`hearth destroy` and `hearth logs`: what there is to do with a deployed stack."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console

from hearth.errors import NotFound
from hearth_build.cloud.stack import DEFAULT, AwsError, client, describe_stack
from hearth_build.cloud.stack_logs import StackLog, log_groups

console = Console()
KEPT_BUCKETS = ("ArtifactBucket", "ResultBucket")
"""Buckets that outlive the stack."""
POLL_SECONDS = 5.0


def destroy(
    stack: Annotated[str, typer.Option(help="Name of the stack.")] = DEFAULT,
    data: Annotated[bool, typer.Option("--data", help="Delete the models and the results too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a stack: its uploads are deleted with it; its models and results stay, unless --data is given."""
    deployed = describe_stack(stack)
    what = "with its models and results" if data else "; the buckets of models and results stay"
    if not yes:
        typer.confirm(f"Delete the stack {stack} and all uploads {what}?", abort=True)
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _empty(deployed.resources["UploadBucket"])
        cloudformation = client("cloudformation")
        cloudformation.delete_stack(StackName=stack)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack)
        for name in KEPT_BUCKETS:
            bucket = deployed.resources[name]
            if data:
                _empty(bucket)
                client("s3").delete_bucket(Bucket=bucket)
            else:
                console.print(f"Kept: s3://{bucket}", highlight=False, soft_wrap=True)
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"{stack} could not be deleted completely: {error}") from error
    console.print(f"Deleted {stack}. The role with which API Gateway writes logs stays, as other APIs may use it.")


def _empty(bucket: str) -> None:
    """Delete all objects of a bucket in all their versions. Raises ClientError."""
    s3 = client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
        if versions:
            objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})


def logs(
    stack: Annotated[str, typer.Option(help="Name of the stack.")] = DEFAULT,
    function: Annotated[str, typer.Option(help="Only this function: Shared, Jobs, Catalog or Release.")] = "",
    minutes: Annotated[float, typer.Option(help="How far to look back.", min=0.1)] = 10,
    errors: Annotated[bool, typer.Option("--errors", help="Only requests that failed.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for further lines.")] = False,
) -> None:
    """Print the log lines of a stack's functions, oldest first: a line of JSON for each request."""
    deployed = describe_stack(stack)
    try:
        groups = log_groups(deployed, function)
    except NotFound as error:
        raise typer.BadParameter(error.message) from None
    log = StackLog(groups, time.time() - minutes * 60, "{ $.status >= 400 }" if errors else "")
    while True:
        for line in log.read():
            print(line, flush=True)
        if not follow:
            return
        time.sleep(POLL_SECONDS)
