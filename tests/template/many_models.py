"""A thousand models on one deployment: `python -m tests.template.many_models [MODELS] [CALLS]`.

Deploys the stack once on a local AWS, publishes small models with names of every legal shape, and calls some of them at
random through REST, uploads and batches, with no deployment in between. The first models go through `hearth publish`
with its load gate, which takes a second each; the others are copied, and their aliases set as `hearth alias` does.
"""

from __future__ import annotations

import json
import random
import string
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hearth.storage.open import open_store
from hearth_build.release.publish import publish
from tests.support.artifacts import make_text_artifact
from tests.support.record import record
from tests.template.local_stack import Stack, deploy, local_aws
from tests.template.test_deploy import eventually, result

GATED = 5
"""Models that go through the load gate."""
SHAPES = ("{}", "{}.v2", "{}_final-1", "0{}", "{}" + "x" * 52)
TEXT = b'{"inputs": "a wonderful film"}'


def names_of(count: int, seed: int = 1) -> list[str]:
    """Different names of every legal shape, of 4 to 63 characters."""
    rng, names = random.Random(seed), list[str]()
    while len(names) < count:
        stem = "".join(rng.choices(string.ascii_lowercase + string.digits, k=rng.randint(3, 10)))
        name = SHAPES[len(names) % len(SHAPES)].format(stem)[:63]
        if name not in names:
            names.append(name)
    return names


def publish_all(stack: Stack, names: list[str], folder: Path, patch: pytest.MonkeyPatch) -> float:
    """Publish a small model under each name; return the seconds that it took."""
    store, started = open_store(f"s3://{stack.outputs['ArtifactBucketName']}/models"), time.monotonic()

    def publish_one(name: str) -> None:
        artifact = make_text_artifact(folder, name)
        (artifact / "golden.json").write_text('{"cases": [], "tolerance": 0}')
        publish(store, artifact, "prod")

    for name in names[:GATED]:
        publish_one(name)
    patch.setattr("hearth_build.release.publish.admit", lambda folder, manifest: None)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(publish_one, names[GATED:]))
    return time.monotonic() - started


def call_by_request(stack: Stack, name: str) -> bool:
    status, body = stack.call("POST", f"/models/{name}", TEXT)
    return status == 200 and json.loads(body)[0][0]["label"] == "positive"


def call_by_open_inference(stack: Stack, name: str) -> bool:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a wonderful film"]}
    status, body = stack.call("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode())
    return status == 200 and json.loads(body)["model_name"] == name


def call_by_sagemaker(stack: Stack, name: str) -> bool:
    return stack.call("POST", f"/endpoints/{name}/invocations", TEXT)[0] == 200


def call_by_pipeline(stack: Stack, name: str) -> bool:
    return stack.call("POST", f"/pipeline/text-classification/{name}@1", TEXT)[0] == 200


def call_by_upload(stack: Stack, name: str) -> bool:
    key = f"uploads/{name}/a.txt"
    stack.aws.client("s3").put_object(Bucket=stack.outputs["UploadBucketName"], Key=key, Body=b"a wonderful film")
    return bool(eventually(lambda: result(stack, key), 120)["model"] == name)


def call_by_batch(stack: Stack, name: str) -> bool:
    """Invoke the jobs function as the state machine does, with a batch of one object."""
    bucket, key = stack.outputs["UploadBucketName"], f"batch/{name}/a.txt"
    stack.aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"a wonderful film")
    event = {"batch": {"bucket": bucket, "model": name, "run": "many"}, "Items": [{"Key": key, "Size": 16}]}
    response = stack.aws.client("lambda").invoke(
        FunctionName=stack.resources["Jobs"], Qualifier="live", Payload=json.dumps(event)
    )
    return bool(json.loads(response["Payload"].read()) == {"done": 1, "failed": []})


CALLS = {
    "REST": call_by_request,
    "Open Inference": call_by_open_inference,
    "SageMaker": call_by_sagemaker,
    "pipeline with a version": call_by_pipeline,
    "upload": call_by_upload,
    "batch": call_by_batch,
}


def call_some(stack: Stack, names: list[str], calls: int, seed: int = 2) -> tuple[Counter[str], list[str]]:
    """Call models at random, each kind of call in turn; return the calls by kind, and those that failed."""
    rng, counts, failures = random.Random(seed), Counter[str](), []
    for number in range(calls):
        kind = list(CALLS)[number % len(CALLS)]
        name = rng.choice(names)
        counts[kind] += 1
        if not CALLS[kind](stack, name):
            failures.append(f"{kind}: {name}")
    return counts, failures


def list_models(stack: Stack) -> tuple[int, float]:
    """The number of models that GET /models lists, and its seconds when warm."""
    stack.call("GET", "/models")
    started = time.monotonic()
    status, body = stack.call("GET", "/models")
    assert status == 200, body[:300]
    document: dict[str, Any] = json.loads(body)
    return len(document["models"]), time.monotonic() - started


def measure(models: int, calls: int, scratch: Path) -> tuple[str, list[str]]:
    """Run it all; return a summary, and what failed."""
    names = names_of(models)
    with local_aws(scratch) as aws, pytest.MonkeyPatch.context() as patch:
        started = time.monotonic()
        stack = deploy(aws)
        deployed = time.monotonic() - started
        aws.adopt(patch)
        few, _ = list_models(stack)
        published = publish_all(stack, names, scratch / "models", patch)
        time.sleep(61)  # the catalogue and aliases are cached for a minute
        listed, seconds = list_models(stack)
        started = time.monotonic()
        counts, failures = call_some(stack, names, calls)
        called = time.monotonic() - started
    if (few, listed) != (0, models):
        failures.append(f"{listed} of {models} models are listed, {few} before any was published")
    kinds = ", ".join(f"{count} by {kind}" for kind, count in counts.items())
    summary = (
        f"{models} models published in {published:.0f} s onto a stack deployed once in {deployed:.0f} s; `GET /models` "
        f"lists {listed} in {seconds * 1000:.0f} ms; {sum(counts.values())} calls of models chosen at random "
        f"({kinds}) in {called:.0f} s; {len(failures)} failed."
    )
    return summary, failures


def main() -> None:
    models, calls = (int(argument) for argument in (sys.argv[1:] or ("1000", "200")))
    with tempfile.TemporaryDirectory() as scratch:
        summary, failures = measure(models, calls, Path(scratch))
    print(summary, *failures, sep="\n")
    record("Many models on one stack", "python -m tests.template.many_models", "\n".join([summary, *failures]))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
