from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from hearth.errors import NotFound
from hearth_build.cloud import stack_logs
from hearth_build.cloud.stack import AwsError, Stack
from hearth_build.cloud.stack_logs import LATE_SECONDS, StackLog, log_groups

TYPES = {"Shared": "AWS::Lambda::Function", "Jobs": "AWS::Lambda::Function"}
TYPES |= {"SharedLog": "AWS::Logs::LogGroup", "JobsLog": "AWS::Logs::LogGroup", "ApiLog": "AWS::Logs::LogGroup"}
STACK = Stack("live", "", {}, {name: f"/{name}" for name in TYPES}, TYPES)


def event(seconds: float, message: str) -> dict[str, Any]:
    return {"timestamp": int(seconds * 1000), "message": f"{message}\n", "logStreamName": "s"}


class Logs:
    def __init__(self) -> None:
        self.events: dict[str, list[dict[str, Any]]] = {"/SharedLog": [], "/JobsLog": []}
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, logGroupName: str, startTime: int, **given: Any) -> Any:
        self.asked.append({"start": startTime, **given})
        if logGroupName not in self.events:
            raise ClientError({"Error": {"Code": "NotFound", "Message": "no such group"}}, "FilterLogEvents")
        yield {"events": [item for item in self.events[logGroupName] if item["timestamp"] >= startTime]}


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    fake = Logs()
    monkeypatch.setattr(stack_logs, "client", lambda service: fake)
    return fake


def test_the_groups_are_those_of_functions() -> None:
    assert log_groups(STACK) == ["/JobsLog", "/SharedLog"]
    assert log_groups(STACK, "Jobs") == ["/JobsLog"]
    with pytest.raises(NotFound, match="The functions of live are Jobs, Shared, not Api"):
        log_groups(STACK, "Api")


def test_lines_of_all_groups_are_in_order_and_each_comes_once(logs: Logs) -> None:
    logs.events["/SharedLog"] = [event(1000, "first"), event(1002, "third")]
    logs.events["/JobsLog"] = [event(999, "before"), event(1001, "second")]
    log = StackLog(log_groups(STACK), 1000.0, "{ }")
    assert log.read() == ["first", "second", "third"]
    assert log.read() == []
    logs.events["/JobsLog"].append(event(1001.5, "late"))
    assert log.read() == ["late"]
    assert logs.asked[0] == {"start": 1_000_000, "filterPattern": "{ }"}


def test_old_lines_are_not_asked_for_again(logs: Logs) -> None:
    log = StackLog(["/JobsLog"], 1000.0)
    logs.events["/JobsLog"] = [event(2000, "new")]
    log.read()
    log.read()
    assert logs.asked[-1] == {"start": int((2000 - LATE_SECONDS) * 1000)}


def test_a_group_that_cannot_be_read_is_named(logs: Logs) -> None:
    with pytest.raises(AwsError, match="The log /ApiLog cannot be read"):
        StackLog(["/ApiLog"], 0.0).read()
