"""Permissions: every role of the deployed stack tries every action on every resource, compared with the documented
rule.

`python -m tests.template.matrix` deploys the stack on a local AWS and writes the table into docs/testing/results.md.
No attempt changes anything: an allowed one finds nothing to do, or is then refused as invalid.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hearth_build.cloud.dedicated import Dedicated
from tests.support.record import record
from tests.template.local_stack import Stack, deploy, local_aws
from tests.template.probe import Credentials, Prober

MODEL, DEDICATED_MODEL = "any-model", "resnet20-cifar10"
"""A model of the shared function, and one that also has a function of its own."""
DEDICATED = Dedicated(DEDICATED_MODEL, "image-classification")
SERVING = ("Shared", "Jobs")
"""The functions that serve models."""
FOREIGN_BUCKET = "foreign"
"""A bucket of the same account that does not belong to the stack."""
ACTIONS = {
    "bucket": ("get", "put", "list", "delete", "delete version"),
    "queue": ("receive", "send", "delete"),
    "key": ("decrypt", "data key"),
}


@dataclass(frozen=True)
class Target:
    kind: str
    """`bucket`, `queue` or `key`."""
    owner: str
    """Prefix of the bucket's output, the logical id of a queue, or the owner of a key."""
    name: str = ""
    """The key of an object."""

    def __str__(self) -> str:
        return f"{self.owner} {self.name}".strip()


Cell = tuple[str, str, Target]
"""Role, action, target."""


def targets() -> Iterator[Target]:
    for path in ("0/aliases.json", "0/manifest.json", "0/model.sig", "0/model.bin"):
        yield Target("bucket", "Artifact", f"models/{MODEL}/{path}")
    for path in ("0/model.bin", "0/aliases.json"):
        yield Target("bucket", "Artifact", f"models/{DEDICATED_MODEL}/{path}")
        yield Target("bucket", "Artifact", f"models/{DEDICATED_MODEL}-2/{path}")
    yield Target("bucket", "Upload", f"uploads/{DEDICATED_MODEL}/x")
    yield Target("bucket", "Upload", f"uploads/{DEDICATED_MODEL}-2/x")
    for name in ("models/catalog.json", "models-2/x/manifest.json", "elsewhere/x"):
        yield Target("bucket", "Artifact", name)
    for prefix in ("uploads", "tracks", "batch"):
        yield Target("bucket", "Upload", f"{prefix}/{MODEL}/x")
    for name in ("uploads-2/x", "elsewhere/x"):
        yield Target("bucket", "Upload", name)
    for name in ("results/x", "batches/x", "results-2/x", "elsewhere/x"):
        yield Target("bucket", "Result", name)
    yield Target("bucket", "Foreign", f"models/{MODEL}/0/model.bin")
    yield Target("queue", "Queue")
    yield Target("queue", "DeadLetters")
    yield Target("key", "own")
    yield Target("key", "foreign")


def is_documented(role: str, action: str, target: Target) -> bool:
    """Whether the role has the permission according to SECURITY.md. Raises KeyError for an undocumented role."""
    return ROLES[role](action, target)


def _shared(action: str, target: Target) -> bool:
    """Reads every model, and the uploads that requests name."""
    match target.kind, target.owner, action:
        case "bucket", "Artifact", "get" | "list":
            return target.name.startswith("models/")
        case "bucket", "Upload", "get":
            return target.name.startswith(("uploads/", "tracks/"))
        case "key", "own", "decrypt":
            return True
    return False


def _dedicated(action: str, target: Target) -> bool:
    """Reads its own model, and the uploads for it."""
    is_own = target.kind != "bucket" or DEDICATED_MODEL in target.name.split("/")
    return is_own and _shared(action, target)


def _jobs(action: str, target: Target) -> bool:
    """Reads every model and every input, reads and writes results, consumes the queue."""
    match target.kind, target.owner, action:
        case "bucket", "Upload", "get":
            return target.name.startswith(("uploads/", "tracks/", "batch/"))
        case "bucket", "Result", "get" | "put":
            return target.name.startswith("results/")
        case "bucket", "Result", "list":  # of the whole bucket, so that a missing object is 404
            return True
        case "queue", "Queue", "receive" | "delete":
            return True
        case "queue", "DeadLetters", "send":
            return True
    return _shared(action, target)  # only S3 requests data keys in its name, not the function itself


def _catalog(action: str, target: Target) -> bool:
    """Reads the descriptions of models, not their weights; lets callers put inputs, and read or delete results."""
    match target.kind, target.owner, action:
        case "bucket", "Artifact", "get":
            is_description = target.name.endswith(("catalog.json", "manifest.json", "model.sig", "aliases.json"))
            return target.name.startswith("models/") and is_description
        case "bucket", "Artifact", "list":
            return target.name.startswith("models/")
        case "bucket", "Upload" | "Result", "list":
            return True
        case "bucket", "Upload", _:
            return target.name.startswith(("uploads/", "tracks/"))
        case "bucket", "Result", "get" | "delete" | "delete version":
            return target.name.startswith("results/")
        case "key", "own", "decrypt":
            return True
    return False


def _batch(action: str, target: Target) -> bool:
    """The state machine: lists objects below batch/ and writes its reports below batches/; the functions read."""
    match target.kind, target.owner, action:
        case "bucket", "Upload", "list":
            return target.name.startswith("batch/")
        case "bucket", "Result", "get" | "put":
            return target.name.startswith("batches/")
    return target == Target("key", "own") and action == "decrypt"


ROLES: dict[str, Callable[[str, Target], bool]] = {
    "Shared": _shared,
    "Jobs": _jobs,
    "Catalog": _catalog,
    DEDICATED.id: _dedicated,
    "Batch": _batch,
    "Release": lambda action, target: (
        target == Target("key", "own") and action == "decrypt"
    ),  # its own environment variables
    "Deployment": lambda action, target: False,  # moves aliases
    "ApiLogging": lambda action, target: False,  # writes the gateway's log
}


def roles(stack: Stack) -> dict[str, str]:
    """The physical names of the stack's roles by their owner: those of the template and those that SAM adds."""
    return {
        name.removesuffix("Role"): physical
        for name, physical in sorted(stack.resources.items())
        if stack.types[name] == "AWS::IAM::Role"
    }


def identifiers_of(stack: Stack) -> dict[Target, str]:
    """The identifier of each target in requests: a bucket, a queue's URL or a key's id. No object exists."""
    identifiers: dict[Target, str] = {}
    stack.aws.client("s3").create_bucket(Bucket=FOREIGN_BUCKET)
    foreign_key = stack.aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    for target in targets():
        if target.kind == "queue":
            identifiers[target] = stack.resources[target.owner]
        elif target.kind == "key":
            identifiers[target] = stack.resources["Key"] if target.owner == "own" else foreign_key
        else:
            identifiers[target] = (
                FOREIGN_BUCKET if target.owner == "Foreign" else stack.outputs[f"{target.owner}BucketName"]
            )
    return identifiers


def assume_role(stack: Stack, role: str) -> Credentials:
    """Credentials of a role. Its trust policy is opened for a moment, because some roles trust only a service."""
    iam, sts = stack.aws.client("iam"), stack.aws.client("sts")
    role_description = iam.get_role(RoleName=role)["Role"]
    trust = role_description["AssumeRolePolicyDocument"]
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    policy = trust | {"Statement": [*trust["Statement"], statement]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(policy))
    session = sts.assume_role(RoleArn=role_description["Arn"], RoleSessionName="matrix")["Credentials"]
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])


def measure(stack: Stack, role_names: dict[str, str]) -> dict[Cell, bool]:
    """Try every cell for the roles `role_names` (physical names by name); return whether it was allowed."""
    identifiers, kms = identifiers_of(stack), stack.aws.client("kms")
    secrets = {
        target: base64.b64encode(kms.encrypt(KeyId=identifiers[target], Plaintext=b"x")["CiphertextBlob"]).decode()
        for target in identifiers
        if target.kind == "key"
    }
    credentials = {role: assume_role(stack, physical) for role, physical in role_names.items()}
    cells = [(role, action, target) for role in role_names for target in identifiers for action in ACTIONS[target.kind]]
    with Prober(stack.aws.url, stack.aws.certificate) as probe, ThreadPoolExecutor(8) as pool:
        probes: dict[str, Callable[[Credentials, str, Target], bool]] = {
            "bucket": lambda role, action, target: probe.s3(role, action, identifiers[target], target.name),
            "queue": lambda role, action, target: probe.sqs(role, action, identifiers[target]),
            "key": lambda role, action, target: probe.kms(role, action, identifiers[target], secrets[target]),
        }
        results = pool.map(lambda cell: probes[cell[2].kind](credentials[cell[0]], cell[1], cell[2]), cells)
        return dict(zip(cells, results, strict=True))


def differences(cells: dict[Cell, bool]) -> list[str]:
    """A sentence for each cell that differs from the documentation."""
    return [
        f"{role} {'may' if allowed else 'may not'} {action} {target}"
        for (role, action, target), allowed in cells.items()
        if allowed != is_documented(role, action, target)
    ]


def table(cells: dict[Cell, bool]) -> str:
    """Markdown: a row for each role with its permissions; all other actions are refused."""
    lines = ["| role | may | may not |", "|---|---|---:|"]
    for role in dict.fromkeys(cell[0] for cell in cells):
        permissions: dict[str, list[str]] = {}
        for (owner, action, target), allowed in cells.items():
            if owner == role and allowed:
                permissions.setdefault(f"{action} {target.kind}", []).append(str(target))
        refused = sum(owner == role and not allowed for (owner, _, _), allowed in cells.items())
        listed = "; ".join(f"**{action}**: {', '.join(_shorten(names))}" for action, names in permissions.items())
        lines.append(f"| {role} | {listed or 'nothing'} | {refused} cells |")
    return "\n".join(lines)


def _shorten(names: list[str]) -> list[str]:
    return [f"`{name}`" for name in names] if len(names) < 9 else [f"`{names[0]}` and {len(names) - 1} like it"]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, local_aws(Path(scratch)) as aws:
        stack = deploy(aws, [DEDICATED], CustomerKey="true")
        cells = measure(stack, roles(stack))
    problems = differences(cells)
    summary = (
        f"{len(cells)} attempts: every role of the stack × every action × every target, on ministack with `AUTH=true`; "
        f"{sum(cells.values())} were allowed, {len(problems)} not as documented."
    )
    record("Allow and deny", "python -m tests.template.matrix", "\n\n".join([summary, table(cells), *problems]))


if __name__ == "__main__":
    main()
