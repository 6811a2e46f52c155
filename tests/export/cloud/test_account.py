from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from hearth_build.cloud.account import Account, read_account
from hearth_build.cloud.parameters import Template
from hearth_build.cloud.sam_deploy import TEMPLATE


def test_quotas_of_the_account_are_asked_first() -> None:
    values = Template.read(TEMPLATE).values({"Concurrency": "20"}, {})
    (new,) = Account(10, 10).problems(values)
    assert "Concurrency=20 cannot be reserved: the account has 10 environments" in new
    assert not list(Account(1000, 1000).problems(values))
    assert not list(Account(1000, 100, {"Concurrency": "20"}).problems(values)), "they are reserved already"
    (jobs,) = Account(10, 10).problems(values | {"Concurrency": "0", "JobsConcurrency": "11"})
    assert "JobsConcurrency=5 leaves some" in jobs
    assert not list(Account(10, 10).problems(values | {"Concurrency": "0"}))


class Aws:
    """The responses of the clients that `read_account` asks."""

    def __init__(self, *stacks: dict[str, Any]) -> None:
        self.stacks = {stack["StackName"]: stack for stack in stacks}

    def client(self, service: str) -> Any:
        return self

    def get_account_settings(self) -> Any:
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 900}}

    def get_account(self) -> Any:
        return {"cloudwatchRoleArn": "arn:aws:iam::1:role/logs"}

    def describe_stacks(self, StackName: str) -> Any:
        if StackName not in self.stacks:
            text = f"Stack with id {StackName} does not exist" if StackName == "new" else "Access denied"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": text}}, "DescribeStacks")
        return {"Stacks": [self.stacks[StackName]]}


def test_the_parameters_of_a_stack_are_read_if_there_is_one() -> None:
    parameters = [{"ParameterKey": "Memory", "ParameterValue": "1024"}, {"ParameterKey": "Secret"}]
    aws = Aws({"StackName": "live", "Parameters": parameters})
    assert read_account(aws, "live") == Account(1000, 900, {"Memory": "1024", "Secret": ""}, has_logging_role=True)
    for name in ("", "new"):
        assert read_account(aws, name).live_parameters == {}
    with pytest.raises(ClientError, match="Access denied"):
        read_account(aws, "forbidden")
