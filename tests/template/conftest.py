"""The stack, deployed once per test run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hearth_build.cloud.dedicated import Dedicated
from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.template.local_stack import Aws, Stack, deploy
from tests.template.stack import ROOT

MODELS = {
    "sentiment-en": make_text_artifact,
    "sentiment-zh": make_text_artifact,
    "resnet20-cifar10": make_image_artifact,
}
DEDICATED = Dedicated("resnet20-cifar10", "image-classification", memory=1024)
"""A model with a function of its own."""
PAGE = "https://page.example"
"""The origin of a page that may call the stack."""


@pytest.fixture(scope="session")
def stack(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The stack of template.yaml on the local AWS, with small models published."""
    deployed = deploy(aws, [DEDICATED], CustomerKey="true", CorsOrigins=PAGE, AnnounceResults="true")
    publish(deployed, tmp_path_factory.mktemp("store"))
    return deployed


def publish(stack: Stack, store: Path) -> None:
    """Publish small models to the artifact bucket, each with version 1 as `prod`."""
    s3, bucket = stack.aws.client("s3"), stack.outputs["ArtifactBucketName"]
    for model, make in MODELS.items():
        make(store, model, "1")
    shutil.copytree(ROOT / "export/zoo/gpt-shakespeare", store / "gpt-shakespeare")
    for path in sorted(path for path in store.rglob("*") if path.is_file()):
        s3.put_object(Bucket=bucket, Key=f"models/{path.relative_to(store)}", Body=path.read_bytes())
    for model in MODELS:
        aliases = b'{"prod": {"version": "1"}}'
        s3.put_object(Bucket=bucket, Key=f"models/{model}/aliases.json", Body=aliases)
