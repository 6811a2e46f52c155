"""Every role of the deployed stack, tried on everything; and roles that were given too much or too little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.local_stack import Stack
from tests.template.matrix import FOREIGN, MODELS, differences, measure, places, roles

ROLE = "TextClassification"


@pytest.fixture
def grant(stack: Stack) -> Iterator[Any]:
    """Adds a statement to ROLE, until the test ends."""
    iam, role = stack.aws.client("iam"), roles(stack)[ROLE]

    def add(effect: str, action: str, resource: str) -> None:
        statement = {"Effect": effect, "Action": action, "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="mistake", PolicyDocument=document)

    yield add
    iam.delete_role_policy(RoleName=role, PolicyName="mistake")


def test_every_role_may_what_is_documented_and_nothing_else(stack: Stack) -> None:
    who = roles(stack)
    assert set(MODELS) < set(who)
    found = measure(stack, who)
    assert len(found) > 300 * len(who)
    assert differences(found) == []


@pytest.mark.parametrize(
    ("effect", "action", "resource", "said"),
    [
        ("Allow", "s3:GetObject", "arn:aws:s3:::{Artifact}/models/resnet20-cifar10/*", {"may get Artifact"}),
        ("Allow", "s3:PutObject", "arn:aws:s3:::{Artifact}/models/sentiment-en/*", {"may put Artifact"}),
        # A star too far: sentiment-en-2 is another's model.
        ("Allow", "s3:GetObject", "arn:aws:s3:::{Upload}/uploads/sentiment-en*", {"may get Upload"}),
        ("Allow", "s3:GetObject", f"arn:aws:s3:::{FOREIGN}/*", {"may get Foreign"}),
        ("Allow", "sqs:SendMessage", "arn:aws:sqs:*:*:hearth-translation", {"may send Translation"}),
        ("Allow", "kms:*", "*", {"may data key own", "may decrypt foreign", "may data key foreign"}),
        ("Deny", "s3:PutObject", "arn:aws:s3:::{Result}/results/*", {"may not put Result"}),
    ],
)
def test_a_role_with_one_grant_too_much_or_too_little_is_caught(
    stack: Stack, grant: Any, effect: str, action: str, resource: str, said: set[str]
) -> None:
    buckets = {name: stack.outputs[f"{name}BucketName"] for name in ("Artifact", "Upload", "Result")}
    grant(effect, action, resource.format(**buckets))
    wrong = differences(measure(stack, {ROLE: roles(stack)[ROLE]}))
    assert wrong, "not caught"
    assert all(any(line.startswith(f"{ROLE} {sentence}") for sentence in said) for line in wrong), wrong


def test_no_place_is_tried_twice() -> None:
    assert len(list(places())) == len(set(places()))
