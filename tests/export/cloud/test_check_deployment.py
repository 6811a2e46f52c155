from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from hearth_build.cloud import check_deployment as module
from hearth_build.cloud.check_deployment import REQUIRED_OUTPUTS, check_deployment
from hearth_build.cloud.finding import Finding, Level
from hearth_build.cloud.stack import AwsError, Stack

TYPES = {"Shared": "AWS::Lambda::Function", "Errors": "AWS::CloudWatch::Alarm", "JobsDeadLetters": "AWS::SQS::Queue"}
MODEL = {"name": "toy", "version": "3", "task": "text-classification"}


class Deployment:
    """A deployment without problems, whose parts tests break: the stack, what AWS says, what the API answers."""

    def __init__(self) -> None:
        self.status = "CREATE_COMPLETE"
        self.outputs = dict.fromkeys(REQUIRED_OUTPUTS, "x") | {"ApiUrl": "https://api"}
        self.types = dict(TYPES)
        self.function: dict[str, Any] = {"Environment": {"Variables": {"HEARTH_STORE": "s3://bucket/models"}}}
        self.alarm, self.dead_letters, self.skew = "OK", 0, 0.0
        self.responses: dict[tuple[str, str], tuple[int, bytes]] = {
            ("/v2/health/live", ""): (200, b""),
            ("/models", ""): (403, b""),
            ("/models", "key"): (200, json.dumps({"models": [MODEL]}).encode()),
            ("/models/toy", "key"): (200, b"[]"),
        }

    def describe(self, name: str) -> Stack:
        if name == "missing":
            raise AwsError("Stack missing cannot be read")
        return Stack(name, self.status, self.outputs, {name: f"{name}-1" for name in self.types}, self.types)

    def client(self, service: str) -> Any:
        return self

    def get_function_configuration(self, FunctionName: str) -> Any:
        return self.function

    def describe_alarms(self, AlarmNames: list[str]) -> Any:
        rows = [{"AlarmName": name, "StateValue": self.alarm, "StateReason": "errors"} for name in AlarmNames]
        return {"MetricAlarms": rows}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        return {"Attributes": {"ApproximateNumberOfMessages": str(self.dead_letters)}}

    def get_api_key(self, apiKey: str, includeValue: bool) -> Any:
        return {"value": "key"}

    def get(self, url: str, key: str, body: bytes | None = None) -> tuple[int, bytes, dict[str, str]]:
        date = email.utils.formatdate(time.time() + self.skew, usegmt=True)
        return *self.responses[url.removeprefix("https://api"), key], {"date": date}


@pytest.fixture
def deployment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    fake = Deployment()
    monkeypatch.setattr(module, "describe_stack", fake.describe)
    monkeypatch.setattr(module, "client", fake.client)
    monkeypatch.setattr(module, "_get", fake.get)
    return fake


def problems(findings: Iterator[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level is Level.PROBLEM]


def test_a_deployment_in_order_has_no_problem(deployment: Deployment) -> None:
    findings = list(check_deployment("live"))
    assert {finding.level for finding in findings} == {Level.OK}
    assert any(finding.text.startswith("toy@3 processed the example of its task") for finding in findings)


def change(**fields: Any) -> Any:
    return lambda deployment: vars(deployment).update(fields)


def answer(path: str, key: str, status: int, body: bytes = b"broken") -> Any:
    return lambda deployment: deployment.responses.update({(path, key): (status, body)})


@pytest.mark.parametrize(
    ("breaks", "sentence"),
    [
        (change(status="UPDATE_ROLLBACK_COMPLETE"), "The last update of live was rolled back"),
        (change(status="DELETE_FAILED"), "live is DELETE_FAILED"),
        (lambda deployment: deployment.outputs.pop("UploadBucketName"), "live has no output UploadBucketName"),
        (change(types={}), "live has no functions"),
        (change(types={"Shared": TYPES["Shared"]}), "live has no alarms"),
        (change(function={"State": "Failed", "StateReason": "no image"}), "Function Shared is Failed: no image"),
        (change(function={"LastUpdateStatus": "Failed"}), "The last update of function Shared failed"),
        (change(function={}), "Function Shared has no HEARTH_STORE"),
        (change(alarm="ALARM"), "Alarm Errors-1 is active: errors"),
        (change(dead_letters=2), "JobsDeadLetters has 2 messages of uploads that failed"),
        (change(skew=-400), "This machine's clock is 40"),
        (answer("/v2/health/live", "", 502), "https://api/v2/health/live failed: 502 broken"),
        (answer("/models", "", 200), "https://api/models can be read without an API key"),
        (answer("/models", "key", 500), "https://api/models failed: 500 broken"),
        (answer("/models", "key", 200, b'{"models": []}'), "No model is published: hearth publish"),
        (answer("/models/toy", "key", 500), "toy failed on the example of its task: 500 broken"),
    ],
)
def test_each_problem_is_a_sentence(breaks: Any, sentence: str, deployment: Deployment) -> None:
    breaks(deployment)
    assert [text for text in problems(check_deployment("live")) if text.startswith(sentence)]


def test_a_stack_that_cannot_be_read_ends_the_check(deployment: Deployment) -> None:
    assert problems(check_deployment("missing")) == ["Stack missing cannot be read."]


def test_only_addresses_of_http_are_asked() -> None:
    assert module._get("file:///etc/passwd", "") == (0, b"not an http address", {})
