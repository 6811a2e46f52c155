"""`hearth deploy` with a fake `sam` that records its arguments, against a local AWS."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.cloud.sam_deploy import TEMPLATE
from tests.template.local_stack import Aws

SAM = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["SAM_LOG"], "a") as log:
    built_for = os.environ.get("HEARTH_ARCHITECTURE")
    print(json.dumps({{"argv": sys.argv[1:], "built for": built_for}}), file=log)
sys.exit(int(os.environ.get("SAM_STATUS", "0")) if sys.argv[1] == "deploy" else 0)
"""
STACK = {
    "Parameters": {"Architecture": {"Type": "String", "Default": "arm64"}},
    "Resources": {
        "Artifacts": {"Type": "AWS::S3::Bucket"},
        "Topic": {"Type": "AWS::SNS::Topic"},
    },
    "Outputs": {
        "ArtifactBucketName": {"Value": {"Ref": "Artifacts"}},
        "ApiUrl": {"Value": "https://api/prod"},
        "PageUrl": {"Value": "https://api/prod/"},
        "ApiKeyId": {"Value": "k123"},
        "UploadBucketName": {"Value": "inbox"},
        "ResultBucketName": {"Value": "outbox"},
    },
}
"""The parts of a deployed stack that `hearth deploy` reads."""


@pytest.fixture(scope="module")
def deployed(aws: Aws) -> Iterator[str]:
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="h5-deploy", TemplateBody=json.dumps(STACK))
    cloudformation.get_waiter("stack_create_complete").wait(StackName="h5-deploy", WaiterConfig={"Delay": 1})
    yield "h5-deploy"
    cloudformation.delete_stack(StackName="h5-deploy")


@pytest.fixture
def machine(aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that can deploy; return the file in which its fake `sam` records calls."""
    aws.adopt(monkeypatch)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, program in {"sam": SAM, "python3.13": f"#!{sys.executable}\n"}.items():
        (tools / name).write_text(program)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    log = tmp_path / "sam.log"
    monkeypatch.setenv("SAM_LOG", str(log))
    return log


def calls_of_sam(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def deploy(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["deploy", *arguments])


def test_deploy_builds_deploys_and_publishes_models(
    machine: Path, deployed: str, aws: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text(f"# ours\n{os.path.relpath(ZOO / 'resnet20-cifar10/1', tmp_path)}\n\n")
    monkeypatch.chdir(tmp_path)
    arguments = ["Memory=3538", "Threads=", "Architecture=arm64", "--stack", deployed, "--models", "list.txt"]
    result = deploy(*arguments, "--region", "us-east-1")
    assert result.exit_code == 0, (result.output, result.exception)
    build, deployment = calls_of_sam(machine)
    folder = str(tmp_path / ".aws-sam/build")
    expanded, root = str(tmp_path / ".aws-sam/template.yaml"), str(TEMPLATE.parent)
    assert build["argv"] == ["build", "--template-file", expanded, "--base-dir", root, "--build-dir", folder]
    assert Path(expanded).read_text() == TEMPLATE.read_text(), "nothing is added without a hearth.toml"
    command = deployment["argv"]
    assert command[:5] == ["deploy", "--template-file", f"{folder}/template.yaml", "--stack-name", deployed]
    overrides = command[command.index("--parameter-overrides") + 1 :]
    assert overrides == ['Memory="3538"', 'Threads=""', 'Architecture="arm64"']
    assert command[command.index("--region") + 1] == "us-east-1"
    assert build["built for"] == deployment["built for"] == "arm64"
    for expected in (
        "resnet20-cifar10@1 is published, alias prod points to it",
        "https://api/prod",
        "k123",
        "s3://inbox/uploads/MODEL/…, answered at s3://outbox/results/uploads/MODEL/….json",
    ):
        assert expected in result.output
    s3 = aws.client("s3")
    bucket = next(row["Name"] for row in s3.list_buckets()["Buckets"] if "h5-deploy" in row["Name"])
    assert json.loads(s3.get_object(Bucket=bucket, Key="models/resnet20-cifar10/aliases.json")["Body"].read()) == {
        "prod": {"version": "1"}
    }
    again = deploy("--stack", deployed, "--models", "list.txt")
    assert again.exit_code == 0, again.output
    assert "resnet20-cifar10@1 is published, alias prod points to it" in again.output
    assert "--parameter-overrides" not in calls_of_sam(machine)[-1]["argv"]
    assert calls_of_sam(machine)[-1]["built for"] == "arm64", "the stack's own architecture"


def test_a_dry_run_changes_and_publishes_nothing(machine: Path, deployed: str) -> None:
    result = deploy("--stack", deployed, "--models", "zoo", "--dry-run")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "--no-execute-changeset" in calls_of_sam(machine)[-1]["argv"]
    assert "published" not in result.output


def test_wrong_parameters_are_reported_before_sam_runs(machine: Path) -> None:
    wrong = {
        "Memory=12": "Memory must be at least 512, not 12.",
        "JobsMemory=lots": "JobsMemory must be a number, not 'lots'.",
        "Stage=PROD": "Stage must match",
        "LogRetentionDays=4": "LogRetentionDays must be one of 1, 3, 5",
        "TextMemory=1": "There is no parameter TextMemory. The parameters are Stage, ",
        "--stack=my_stack": "unlike 'my_stack'",
        "--region=mars": "'mars' is not the name of a region.",
    }
    message = str(deploy(*wrong).exception)
    assert [sentence for sentence in wrong.values() if sentence not in message] == []
    assert deploy("Memory").exit_code == 2
    assert calls_of_sam(machine) == []


def test_everything_missing_is_reported_at_once(machine: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN000000000")
    message = str(deploy("Memory=12").exception)
    for expected in (
        "Memory must be",
        "SAM CLI is not on PATH",
        "python3.13 is not on PATH or does not run",
        "AWS does not accept the credentials",
    ):
        assert expected in message
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    assert "No region is set" in str(deploy().exception)


def test_a_models_list_with_no_artifact_deploys_nothing(machine: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("nothing/here\n")
    assert "nothing/here has no manifest.json" in str(deploy("--models", str(tmp_path / "list.txt")).exception)
    assert calls_of_sam(machine) == []


def test_a_failing_sam_is_reported(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM_STATUS", "3")
    assert "`sam deploy` ended with status 3" in str(deploy().exception)


def test_a_hearth_toml_names_stack_parameters_and_functions(
    machine: Path, deployed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = '[[dedicated]]\nmodel = "faces"\ntask = "object-detection"\nprovisioned = 1\n'
    (tmp_path / "hearth.toml").write_text(f'stack = "{deployed}"\n[parameters]\nMemory = 2048\n{row}')
    monkeypatch.chdir(tmp_path)
    result = deploy("--dry-run", "JobsMemory=1024")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "warm environments of faces" in result.output
    assert "Modelfaces:" in (tmp_path / ".aws-sam/template.yaml").read_text()
    command = calls_of_sam(machine)[-1]["argv"]
    assert command[command.index("--stack-name") + 1] == deployed
    assert command[command.index("--parameter-overrides") + 1 :] == ['Memory="2048"', 'JobsMemory="1024"']
    (tmp_path / "hearth.toml").write_text(f'stack = "{deployed}"\nmost_dollars_a_month = 5\n{row}')
    assert "more than the $5.00 that hearth.toml allows" in str(deploy("--dry-run").exception)
