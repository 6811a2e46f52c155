from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, NoRegionError

from hearth.errors import NotFound
from hearth_build.cloud import stack as module
from hearth_build.cloud.stack import AwsError, Stack, api_key_of, client, describe_stack

STACK = Stack("live", "CREATE_COMPLETE", {"ApiKeyId": "k1"}, {"A": "a-1", "B": "b-1"}, {"A": "AWS::A", "B": "AWS::B"})


class Aws:
    """A stack whose resources are on two pages."""

    def describe_stacks(self, StackName: str) -> Any:
        if StackName != "live":
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        outputs = [{"OutputKey": "ApiKeyId", "OutputValue": "k1"}]
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": outputs}]}

    def get_paginator(self, name: str) -> Any:
        return self

    def paginate(self, StackName: str) -> Any:
        for name in "AB":
            row = {"LogicalResourceId": name, "PhysicalResourceId": f"{name.lower()}-1", "ResourceType": f"AWS::{name}"}
            yield {"StackResourceSummaries": [row]}

    def get_api_key(self, apiKey: str, includeValue: bool) -> Any:
        assert includeValue
        if apiKey != "k1":
            raise ClientError({"Error": {"Code": "NotFound", "Message": "no such key"}}, "GetApiKey")
        return {"value": "secret"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "client", lambda service: Aws())


@pytest.mark.usefixtures("aws")
def test_all_pages_of_a_stack_are_read() -> None:
    assert describe_stack("live") == STACK
    with pytest.raises(AwsError, match=r"Stack other cannot be read: .*does not exist"):
        describe_stack("other")


@pytest.mark.usefixtures("aws")
def test_the_key_is_that_of_the_output() -> None:
    assert api_key_of(STACK) == "secret"
    with pytest.raises(AwsError, match="The API key cannot be read"):
        api_key_of(Stack("live", "", {"ApiKeyId": "gone"}, {}, {}))


def test_resources_are_chosen_by_their_type() -> None:
    assert STACK.resources_of("AWS::A") == {"A": "a-1"}


def test_a_stack_of_another_template_is_named() -> None:
    with pytest.raises(NotFound, match="Stack live has no output ApiUrl"):
        STACK.output("ApiUrl")


def test_a_missing_region_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def client(self, service: str) -> Any:
            raise NoRegionError

    monkeypatch.setattr("boto3.Session", Session)
    with pytest.raises(AwsError, match="AWS cannot be called: You must specify a region"):
        client("lambda")
