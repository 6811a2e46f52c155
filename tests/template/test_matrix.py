"""All permissions of the roles of the deployed stack, and roles with one grant too many or too few."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.local_stack import Stack
from tests.template.matrix import FOREIGN_BUCKET, ROLES, differences, measure, roles, targets

ROLE = "Jobs"


@pytest.fixture
def grant(stack: Stack) -> Iterator[Any]:
    """A function that adds a statement to ROLE until the test ends."""
    iam, role = stack.aws.client("iam"), roles(stack)[ROLE]

    def add(effect: str, action: str, resource: str) -> None:
        statement = {"Effect": effect, "Action": action, "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName=role, PolicyName="mistake", PolicyDocument=document)

    yield add
    iam.delete_role_policy(RoleName=role, PolicyName="mistake")


def test_every_role_has_exactly_the_documented_permissions(stack: Stack) -> None:
    role_names = roles(stack)
    assert set(ROLES) == set(role_names)
    cells = measure(stack, role_names)
    assert len(cells) > 90 * len(role_names)
    assert differences(cells) == []


@pytest.mark.parametrize(
    ("effect", "action", "resource", "expected"),
    [
        ("Allow", "s3:GetObject", "arn:aws:s3:::{Artifact}/elsewhere/*", {"may get Artifact"}),
        ("Allow", "s3:PutObject", "arn:aws:s3:::{Artifact}/models/*", {"may put Artifact"}),
        # The wildcard is too wide.
        ("Allow", "s3:GetObject", "arn:aws:s3:::{Upload}/uploads*", {"may get Upload"}),
        ("Allow", "s3:GetObject", f"arn:aws:s3:::{FOREIGN_BUCKET}/*", {"may get Foreign"}),
        ("Allow", "sqs:SendMessage", "arn:aws:sqs:*:*:hearth-uploads", {"may send Queue"}),
        ("Allow", "kms:*", "*", {"may data key own", "may decrypt foreign", "may data key foreign"}),
        ("Deny", "s3:PutObject", "arn:aws:s3:::{Result}/results/*", {"may not put Result"}),
    ],
)
def test_a_role_with_one_grant_too_many_or_too_few_is_detected(
    stack: Stack, grant: Any, effect: str, action: str, resource: str, expected: set[str]
) -> None:
    buckets = {name: stack.outputs[f"{name}BucketName"] for name in ("Artifact", "Upload", "Result")}
    grant(effect, action, resource.format(**buckets))
    problems = differences(measure(stack, {ROLE: roles(stack)[ROLE]}))
    assert problems, "not detected"
    assert all(any(line.startswith(f"{ROLE} {sentence}") for sentence in expected) for line in problems), problems


def test_no_target_is_tried_twice() -> None:
    assert len(list(targets())) == len(set(targets()))
