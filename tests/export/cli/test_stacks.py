from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from hearth.errors import NotFound
from hearth_build.cli import stacks
from hearth_build.cli.main import app
from hearth_build.cloud.stack import AwsError

BUCKETS = {f"{name}Bucket": name.lower() for name in ("Upload", "Artifact", "Result")}


class Aws:
    """Buckets with two versions of an object each; what is deleted is recorded."""

    def __init__(self) -> None:
        self.emptied: list[str] = []
        self.deleted: list[str] = []

    def client(self, service: str) -> Any:
        return self

    def get_paginator(self, name: str) -> Any:
        return SimpleNamespace(paginate=lambda Bucket: [{"Versions": [{"Key": "a", "VersionId": "1"}]}, {}])

    def get_waiter(self, name: str) -> Any:
        return SimpleNamespace(wait=lambda StackName: None)

    def delete_objects(self, Bucket: str, Delete: Any) -> None:
        assert Delete["Objects"] == [{"Key": "a", "VersionId": "1"}]
        self.emptied.append(Bucket)

    def delete_stack(self, StackName: str) -> None:
        if StackName == "locked":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteStack")

    def delete_bucket(self, Bucket: str) -> None:
        self.deleted.append(Bucket)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    fake = Aws()
    monkeypatch.setattr(stacks, "client", fake.client)
    monkeypatch.setattr(stacks, "describe_stack", lambda name: SimpleNamespace(name=name, resources=BUCKETS))
    return fake


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=answer)


def test_models_and_results_stay_unless_their_deletion_is_asked_for(aws: Aws) -> None:
    result = run("destroy", "--yes")
    assert (aws.emptied, aws.deleted) == (["upload"], [])
    assert "Kept: s3://artifact" in result.output
    aws.emptied.clear()
    run("destroy", "--yes", "--data")
    assert (aws.emptied, aws.deleted) == (["upload", "artifact", "result"], ["artifact", "result"])


def test_nothing_is_deleted_without_an_answer(aws: Aws) -> None:
    assert run("destroy", answer="n\n").exit_code == 1
    assert aws.emptied == []
    assert run("destroy", answer="y\n").exit_code == 0


def test_a_deletion_that_aws_refuses_is_a_sentence(aws: Aws) -> None:
    error = run("destroy", "--yes", "--stack", "locked").exception
    assert isinstance(error, AwsError)
    assert "locked could not be deleted completely" in error.message


def test_lines_of_a_function_are_printed(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def log(groups: Any, start: float, pattern: str) -> Any:
        asked.append((groups, pattern))
        return SimpleNamespace(read=lambda: ["first", "second"])

    def groups_of(stack: Any, function: str) -> list[str]:
        if function == "Nothing":
            raise NotFound("The functions are Jobs, not Nothing.")
        return [function]

    monkeypatch.setattr(stacks, "StackLog", log)
    monkeypatch.setattr(stacks, "log_groups", groups_of)
    assert run("logs", "--function", "Jobs", "--errors").output == "first\nsecond\n"
    assert asked == [(["Jobs"], "{ $.status >= 400 }")]
    assert run("logs", "--function", "Nothing").exit_code == 2
