"""Who may do what: every role of the deployed stack tried on every prefix, queue and key, beside the documented rule.

`python -m tests.template.matrix` deploys the stack on a local AWS and writes the table into docs/testing/results.md.
No attempt changes anything: one that is allowed finds nothing to do, or is refused later for a fault of its own.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.record import record
from tests.template.local_stack import Stack, deploy, local_aws
from tests.template.probe import Credentials, Prober

MODELS = {
    "TextClassification": ("sentiment-en", "sentiment-zh"),
    "TokenClassification": ("ner-zh",),
    "FillMask": ("fill-mask",),
    "QuestionAnswering": ("question-answering",),
    "Embeddings": ("embeddings-en",),
    "TextGeneration": ("gpt-shakespeare",),
    "Translation": ("translate-en-de", "translate-en-zh"),
    "ImageClassification": ("resnet20-cifar10",),
    "ObjectDetection": ("yolo-cells",),
    "ObjectTracking": ("yolo-cells",),
    "SpeechRecognition": ("deepspeech-digits",),
}
"""Which model belongs to whom."""
STRANGERS = ("another", "sentiment-en-2")
"""Models of nobody; the second begins as one of ours does."""
NAMES = (*dict.fromkeys(name for names in MODELS.values() for name in names), *STRANGERS)
FOREIGN = "foreign"
"""A bucket of the same account that is not the stack's."""
ACTIONS = {
    "bucket": ("get", "put", "list", "delete", "delete version"),
    "queue": ("receive", "send", "delete"),
    "key": ("decrypt", "data key"),
}


@dataclass(frozen=True)
class Place:
    kind: str
    """`bucket`, `queue` or `key`."""
    of: str
    """The bucket's name in the outputs' words, whose queue, or whose key."""
    name: str = ""
    """The object below a bucket, or `queue` and `letters`."""

    def __str__(self) -> str:
        return f"{self.of} {self.name}".strip()


Cell = tuple[str, str, Place]
"""Role, action, place."""


def places() -> Iterator[Place]:
    for model in NAMES:
        yield Place("bucket", "Artifact", f"models/{model}/0/aliases.json")
        yield Place("bucket", "Artifact", f"models/{model}/0/model.bin")
        for prefix in ("uploads", "tracks", "batch"):
            yield Place("bucket", "Upload", f"{prefix}/{model}/x")
    yield Place("bucket", "Artifact", "elsewhere/x")
    yield Place("bucket", "Upload", "elsewhere/x")
    for prefix in ("results", "batches", "elsewhere"):
        yield Place("bucket", "Result", f"{prefix}/x")
    yield Place("bucket", "Foreign", "models/sentiment-en/0/model.bin")
    for function in MODELS:
        yield Place("queue", function, "queue")
        yield Place("queue", function, "letters")
    yield Place("key", "own")
    yield Place("key", "foreign")


def documented(role: str, action: str, place: Place) -> bool:
    """Whether the role may, as SECURITY.md says it. Raises KeyError for a role of which nothing is documented."""
    if role in MODELS:
        return _model_function(role, action, place)
    return OTHERS[role](action, place)


def _model_function(function: str, action: str, place: Place) -> bool:
    """Reads its models and their inputs, reads and writes results, works off its queue, decrypts."""
    prefix, _, rest = place.name.partition("/")
    own = rest.partition("/")[0] in MODELS[function]
    inputs = "tracks" if function == "ObjectTracking" else "uploads"
    match place.kind, place.of, action:
        case "bucket", "Artifact", "get" | "list":
            return prefix == "models" and own
        case "bucket", "Upload", "get":
            return prefix in (inputs, "batch") and own
        case "bucket", "Result", "get" | "put":
            return prefix == "results"
        case "bucket", "Result", "list":  # of the whole bucket, so that what is missing is 404
            return True
        case "queue", _, "receive" | "delete":
            return place == Place("queue", function, "queue")
        case "queue", _, "send":
            return place == Place("queue", function, "letters")
        case "key", "own", "decrypt":
            return True
    return False  # data keys are for S3 to ask in its name, never for itself


def _catalog(action: str, place: Place) -> bool:
    """Reads what describes models, not their weights."""
    match place.kind, place.of, action:
        case "bucket", "Artifact", "get":
            return place.name.startswith("models/") and place.name.endswith("aliases.json")
        case "bucket", "Artifact", "list":
            return place.name.startswith("models/")
        case "key", "own", "decrypt":
            return True
    return False


def _uploads(action: str, place: Place) -> bool:
    """Lets callers put inputs of any model and read or remove results; knows of models what the catalog knows."""
    match place.kind, place.of, action:
        case "bucket", "Upload" | "Result", "list":
            return True
        case "bucket", "Upload", _:
            return place.name.startswith(("uploads/", "tracks/"))
        case "bucket", "Result", "get" | "delete" | "delete version":
            return place.name.startswith("results/")
    return _catalog(action, place)


def _batch(action: str, place: Place) -> bool:
    """The state machine: lists what lies below batch/, writes its reports below batches/; functions do the reading."""
    match place.kind, place.of, action:
        case "bucket", "Upload", "list":
            return place.name.startswith("batch/")
        case "bucket", "Result", "get" | "put":
            return place.name.startswith("batches/")
    return place == Place("key", "own") and action == "decrypt"


OTHERS: dict[str, Callable[[str, Place], bool]] = {
    "Catalog": _catalog,
    "Uploads": _uploads,
    "Batch": _batch,
    "Release": lambda action, place: place == Place("key", "own") and action == "decrypt",  # of its own variables
    "Deployment": lambda action, place: False,  # moves aliases
    "ApiLogging": lambda action, place: False,  # writes the gateway's log
}


def roles(stack: Stack) -> dict[str, str]:
    """The stack's roles by their owner's name: those of the template, and those that SAM adds."""
    return {
        name.removesuffix("Role"): physical
        for name, physical in sorted(stack.resources.items())
        if stack.types[name] == "AWS::IAM::Role"
    }


def addresses(stack: Stack) -> dict[Place, str]:
    """What names each place in a request: a bucket, a queue's URL, a key's id. All objects are missing ones."""
    found: dict[Place, str] = {}
    stack.aws.client("s3").create_bucket(Bucket=FOREIGN)
    foreign = stack.aws.client("kms").create_key()["KeyMetadata"]["KeyId"]
    for place in places():
        if place.kind == "queue":
            suffix = "Queue" if place.name == "queue" else "DeadLetters"
            found[place] = stack.resources[f"{place.of}{suffix}"]
        elif place.kind == "key":
            found[place] = stack.resources["Key"] if place.of == "own" else foreign
        else:
            found[place] = FOREIGN if place.of == "Foreign" else stack.outputs[f"{place.of}BucketName"]
    return found


def assumed(stack: Stack, role: str) -> Credentials:
    """A session of a role, whom it trusts notwithstanding: some trust a service for one account's sake alone."""
    iam, sts = stack.aws.client("iam"), stack.aws.client("sts")
    found = iam.get_role(RoleName=role)["Role"]
    trust = found["AssumeRolePolicyDocument"]
    ours = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    opened = trust | {"Statement": [*trust["Statement"], ours]}
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(opened))
    session = sts.assume_role(RoleArn=found["Arn"], RoleSessionName="matrix")["Credentials"]
    iam.update_assume_role_policy(RoleName=role, PolicyDocument=json.dumps(trust))
    return Credentials(session["AccessKeyId"], session["SecretAccessKey"], session["SessionToken"])


def measure(stack: Stack, who: dict[str, str]) -> dict[Cell, bool]:
    """What each role of `who` (physical names by name) may: every cell, tried."""
    at, kms = addresses(stack), stack.aws.client("kms")
    secrets = {
        place: base64.b64encode(kms.encrypt(KeyId=at[place], Plaintext=b"x")["CiphertextBlob"]).decode()
        for place in at
        if place.kind == "key"
    }
    credentials = {role: assumed(stack, physical) for role, physical in who.items()}
    cells = [(role, action, place) for role in who for place in at for action in ACTIONS[place.kind]]
    with Prober(stack.aws.url, stack.aws.certificate) as probe, ThreadPoolExecutor(8) as pool:
        ways: dict[str, Callable[[Credentials, str, Place], bool]] = {
            "bucket": lambda who, action, place: probe.s3(who, action, at[place], place.name),
            "queue": lambda who, action, place: probe.sqs(who, action, at[place]),
            "key": lambda who, action, place: probe.kms(who, action, at[place], secrets[place]),
        }
        tried = pool.map(lambda cell: ways[cell[2].kind](credentials[cell[0]], cell[1], cell[2]), cells)
        return dict(zip(cells, tried, strict=True))


def differences(found: dict[Cell, bool]) -> list[str]:
    """A sentence for each cell that is not as documented."""
    return [
        f"{role} {'may' if allowed else 'may not'} {action} {place}"
        for (role, action, place), allowed in found.items()
        if allowed != documented(role, action, place)
    ]


def table(found: dict[Cell, bool]) -> str:
    """Markdown: a row for each role, with the places at which it may do each thing; all others it may not."""
    lines = ["| role | may | may not |", "|---|---|---:|"]
    for role in dict.fromkeys(cell[0] for cell in found):
        may: dict[str, list[str]] = {}
        for (who, action, place), allowed in found.items():
            if who == role and allowed:
                may.setdefault(f"{action} {place.kind}", []).append(str(place))
        refused = sum(who == role and not allowed for (who, _, _), allowed in found.items())
        listed = "; ".join(f"**{action}**: {', '.join(_shortened(where))}" for action, where in may.items())
        lines.append(f"| {role} | {listed or 'nothing'} | {refused} cells |")
    return "\n".join(lines)


def _shortened(where: list[str]) -> list[str]:
    return [f"`{place}`" for place in where] if len(where) < 9 else [f"`{where[0]}` and {len(where) - 1} like it"]


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch, local_aws(Path(scratch)) as aws:
        stack = deploy(aws)
        found = measure(stack, roles(stack))
    wrong = differences(found)
    about = (
        f"{len(found)} attempts: every role of the stack × every action × every place, on ministack with `AUTH=true`; "
        f"{sum(found.values())} were allowed, {len(wrong)} not as documented."
    )
    record("Allow and deny", "python -m tests.template.matrix", "\n\n".join([about, table(found), *wrong]))


if __name__ == "__main__":
    main()
