"""A deployed stack, as its account describes it. Wants boto3 and credentials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hearth.errors import HearthError, NotFound

DEFAULT = "hearth"


class AwsError(HearthError):
    """What AWS answered, in a sentence."""


def client(service: str) -> Any:
    """A boto3 client of the environment's account and region. Raises AwsError where none is chosen."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session().client(service)
    except BotoCoreError as error:
        raise AwsError(f"AWS cannot be asked: {error}") from error


@dataclass(frozen=True)
class Stack:
    name: str
    status: str
    outputs: dict[str, str]
    resources: dict[str, str]
    """Physical ids by logical id."""
    kinds: dict[str, str]
    """`AWS::Service::Kind` by logical id."""

    def of(self, kind: str) -> dict[str, str]:
        """Physical ids by logical id of one kind."""
        return {name: physical for name, physical in self.resources.items() if self.kinds[name] == kind}

    def output(self, key: str) -> str:
        """Raises NotFound for a stack that is not ours, or is of an older template."""
        if key not in self.outputs:
            raise NotFound(f"Stack {self.name} has no output {key}: is it one that `hearth deploy` made?")
        return self.outputs[key]


def stack(name: str) -> Stack:
    """The stack `name`. Raises AwsError where there is none, or AWS does not let us ask."""
    from botocore.exceptions import BotoCoreError, ClientError

    cloudformation = client("cloudformation")
    try:
        described = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        rows = [row for page in pages for row in page["StackResourceSummaries"]]
    except (BotoCoreError, ClientError) as error:
        raise AwsError(f"Stack {name} cannot be read: {error}") from error
    return Stack(
        name,
        described["StackStatus"],
        {row["OutputKey"]: row["OutputValue"] for row in described.get("Outputs", ())},
        {row["LogicalResourceId"]: row.get("PhysicalResourceId", "") for row in rows},
        {row["LogicalResourceId"]: row["ResourceType"] for row in rows},
    )


def logical(folder: str) -> str:
    """The logical id of a function by its folder: `text_classification` is TextClassification."""
    return folder.title().replace("_", "")
