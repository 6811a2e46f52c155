from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.artifacts import make_image_artifact, make_text_artifact
from tests.emulator import Emulator
from tests.s3 import client, moto_s3, upload_folder

TEXT_MODEL, IMAGE_MODEL = "sentiment-en", "resnet20-cifar10"


@pytest.fixture(scope="session", autouse=True)
def _python(python_of_lambda: Path) -> None:
    """All of this folder runs on Lambda's Python."""


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file:// store with one small model of each function."""
    folder = tmp_path_factory.mktemp("zoo")
    for model in ("sentiment-en", "sentiment-zh"):
        make_text_artifact(folder, model)
    make_image_artifact(folder, IMAGE_MODEL)
    return folder


@pytest.fixture(scope="session")
def s3_url(zoo: Path) -> Iterator[str]:
    """A local S3 with the zoo in `artifacts` and empty buckets `uploads` and `results`."""
    with moto_s3() as url:
        upload_folder(client(url), zoo, "artifacts", "models/")
        for bucket in ("uploads", "results"):
            client(url).create_bucket(Bucket=bucket)
        yield url


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Any:
    return client(s3_url)


@pytest.fixture(scope="session")
def environment(s3_url: str) -> dict[str, str]:
    """What the template sets, with the local S3's address."""
    return {
        "AWS_ENDPOINT_URL": s3_url,
        "HEARTH_STORE": "s3://artifacts/models",
        "HEARTH_OUTPUT": "s3://results/answers",
    }


@pytest.fixture(scope="module")
def text(environment: dict[str, str]) -> Iterator[Emulator]:
    with Emulator.of("text_classification", environment | {"HEARTH_MODELS": TEXT_MODEL}) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def image(environment: dict[str, str]) -> Iterator[Emulator]:
    with Emulator.of("image_classification", environment | {"HEARTH_MODELS": IMAGE_MODEL}) as emulator:
        yield emulator
