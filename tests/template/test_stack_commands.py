"""`hearth api-key --stack`, `hearth logs`, `hearth doctor --region` and `hearth destroy` on a local AWS."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from hearth_build.cli.rollout import _open_log
from hearth_build.release.traffic_figures import Figures
from tests.template.local_stack import STACK, Aws, Stack

SMALL = {
    "Resources": {
        name: {"Type": "AWS::S3::Bucket", "DeletionPolicy": policy}
        for name, policy in (("UploadBucket", "Delete"), ("ArtifactBucket", "Retain"), ("ResultBucket", "Retain"))
    }
}
"""The buckets of a stack."""


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def account(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    aws.adopt(monkeypatch)


def test_the_key_of_a_stack_is_printed(stack: Stack) -> None:
    assert run("api-key", "--stack", STACK).output.strip() == stack.api_key
    assert run("api-key").exit_code == 2


def test_logs_are_printed_in_order_and_chosen_by_function(stack: Stack) -> None:
    logs, now = stack.aws.client("logs"), int(time.time() * 1000)
    for name, moment in (("SharedLog", now - 2000), ("JobsLog", now - 1000)):
        group = stack.resources[name]
        logs.create_log_stream(logGroupName=group, logStreamName="test")
        line = json.dumps({"message": "request", "status": 200, "from": name})
        logs.put_log_events(
            logGroupName=group, logStreamName="test", logEvents=[{"timestamp": moment, "message": line}]
        )
    result = run("logs", "--stack", STACK, "--minutes", "600")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line)["from"] for line in result.output.splitlines() if '"from"' in line]
    assert lines == ["SharedLog", "JobsLog"], result.output
    assert "SharedLog" not in run("logs", "--stack", STACK, "--function", "Jobs").output
    assert run("logs", "--stack", STACK, "--function", "Nothing").exit_code == 2


def test_a_rollout_reads_the_lines_that_a_stack_logs_about_the_model(stack: Stack) -> None:
    log = _open_log(None, STACK, "toy")
    assert log.read() == []
    logs, group, now = stack.aws.client("logs"), stack.resources["SharedLog"], int(time.time() * 1000)
    logs.create_log_stream(logGroupName=group, logStreamName="rollout")
    lines = [
        {"message": "request", "status": 200, "routed": "toy@2"},
        {"message": "request", "status": 200, "model": "toy"},
        {"message": "request", "status": 200, "routed": "other@2"},
        {"message": "shadow", "model": "toy", "version": "1", "shadow": "2", "agreement": 1.0},
    ]
    figures, read = Figures("toy", "1", "2"), list[str]()
    for number, line in enumerate(lines, 1):
        event = {"timestamp": now + number, "message": json.dumps(line)}
        logs.put_log_events(logGroupName=group, logStreamName="rollout", logEvents=[event])
        read += log.read()
    figures.add(read)
    assert len(read) == len(set(read)), "each line once"
    # The local AWS ignores filter patterns; lines of other requests count for nothing.
    assert (figures.requests["2"].count, figures.comparisons) == (1, 1)


def test_the_doctor_of_a_region_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("doctor", "--region", "us-east-1")
    assert "execution environments" in result.output, result.output
    monkeypatch.setenv("PATH", "/nowhere")
    result = run("doctor", "--region", "us-east-1")
    assert result.exit_code == 1
    assert "✗ sam is not on PATH" in result.output
    assert "✗ sam" not in run("doctor").output, "without a region nothing is to be deployed"


@pytest.mark.parametrize("data", [False, True])
def test_a_destroyed_stack_leaves_its_data_only_if_it_should(aws: Aws, data: bool) -> None:
    name = f"small-{data}".lower()
    cloudformation, s3 = aws.client("cloudformation"), aws.client("s3")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(SMALL))
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    rows = cloudformation.describe_stack_resources(StackName=name)["StackResources"]
    buckets = {row["LogicalResourceId"]: row["PhysicalResourceId"] for row in rows}
    for bucket in buckets.values():
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        for _ in range(2):
            s3.put_object(Bucket=bucket, Key="a", Body=b"x")
        s3.delete_object(Bucket=bucket, Key="a")
    assert run("destroy", "--stack", name).exit_code == 1, "nothing is deleted without an answer"
    result = run("destroy", "--stack", name, "--yes", *(["--data"] if data else []))
    assert result.exit_code == 0, (result.output, result.exception)
    left = {row["Name"] for row in s3.list_buckets()["Buckets"]} & set(buckets.values())
    assert left == (set() if data else {buckets["ArtifactBucket"], buckets["ResultBucket"]})
