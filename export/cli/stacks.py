"""`hearth destroy` and `hearth logs`: what there is to do with a deployed stack."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console

from hearth_build.cloud.stack import DEFAULT, AwsError, Stack, client, describe_stack

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
    groups = _log_groups(describe_stack(stack), function)
    start = int((time.time() - minutes * 60) * 1000)
    seen = set[str]()
    while True:
        events = [event for group in groups for event in _events(group, start, errors=errors)]
        for event in sorted(events, key=lambda event: event["timestamp"]):
            if event["eventId"] not in seen:
                print(event["message"].rstrip(), flush=True)
                start = max(start, event["timestamp"])
        seen = {event["eventId"] for event in events}
        if not follow:
            return
        time.sleep(POLL_SECONDS)


def _log_groups(stack: Stack, function: str) -> list[str]:
    functions = stack.resources_of("AWS::Lambda::Function")
    if function and function not in functions:
        raise typer.BadParameter(f"--function must be one of {', '.join(sorted(functions))}.")
    groups = stack.resources_of("AWS::Logs::LogGroup")
    return [groups[f"{name}Log"] for name in sorted(functions) if function in ("", name) and f"{name}Log" in groups]


def _events(group: str, start: int, *, errors: bool) -> Iterator[dict[str, Any]]:
    from botocore.exceptions import BotoCoreError, ClientError

    pattern = {"filterPattern": "{ $.status >= 400 }"} if errors else {}
    try:
        pages = (
            client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=start, **pattern)
        )
        for page in pages:
            yield from page["events"]
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"The log {group} cannot be read: {error}") from error
