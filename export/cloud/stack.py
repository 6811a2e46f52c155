"""A deployed CloudFormation stack, as AWS describes it. Needs boto3 and credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hearth.errors import HearthError, NotFound

DEFAULT = "hearth"
"""Name of the stack unless the user chooses another."""


class AwsError(HearthError):
    """An error response of AWS, as a sentence."""


def client(service: str) -> Any:
    """Create a boto3 client for the environment's account and region. Raises AwsError if no region is set."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session().client(service)
    except BotoCoreError as error:
        raise AwsError(f"AWS cannot be called: {error}") from error


@dataclass(frozen=True)
class Stack:
    name: str
    status: str
    outputs: dict[str, str]
    resources: dict[str, str]
    """Physical ids by logical id."""
    resource_types: dict[str, str]
    """`AWS::Service::Type` by logical id."""

    def resources_of(self, resource_type: str) -> dict[str, str]:
        """Physical ids by logical id of all resources of one type."""
        return {
            logical: physical
            for logical, physical in self.resources.items()
            if self.resource_types[logical] == resource_type
        }

    def output(self, key: str) -> str:
        """Raises NotFound for a stack of another template, or of an older version of ours."""
        if key not in self.outputs:
            raise NotFound(f"Stack {self.name} has no output {key}. Was it created by `hearth deploy`?")
        return self.outputs[key]


def api_key_of(stack: Stack) -> str:
    """The value of the stack's own API key. Raises AwsError, NotFound."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        response = client("apigateway").get_api_key(apiKey=stack.output("ApiKeyId"), includeValue=True)
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"The API key cannot be read: {error}") from error
    return str(response["value"])


def describe_stack(name: str) -> Stack:
    """Raises AwsError if the stack does not exist or AWS denies access."""
    from botocore.exceptions import BotoCoreError, ClientError

    cloudformation = client("cloudformation")
    try:
        description = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        rows = [row for page in pages for row in page["StackResourceSummaries"]]
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"Stack {name} cannot be read: {error}") from error
    return Stack(
        name,
        description["StackStatus"],
        {row["OutputKey"]: row["OutputValue"] for row in description.get("Outputs", ())},
        {row["LogicalResourceId"]: row.get("PhysicalResourceId", "") for row in rows},
        {row["LogicalResourceId"]: row["ResourceType"] for row in rows},
    )
