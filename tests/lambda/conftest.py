from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.artifacts import make_image_artifact, make_text_artifact
from tests.support.containers import BRIDGE, build_image, engine
from tests.support.emulator import Emulator
from tests.support.layers import ROOT
from tests.support.s3 import CREDENTIALS, client, moto_s3, upload_folder
from tests.support.sam import Sam, build

TEXT_MODEL, IMAGE_MODEL = "sentiment-en", "resnet20-cifar10"


@pytest.fixture(scope="session", autouse=True)
def _python(python_of_lambda: Path) -> None:
    """Run all tests of this folder on Lambda's Python."""


def settings(url: str) -> dict[str, str]:
    """The variables that the template sets, with the address of the local S3."""
    return {
        "AWS_ENDPOINT_URL": url,
        "HEARTH_STORE": "s3://artifacts/models",
        "HEARTH_OUTPUT": "s3://results/answers",
        "HEARTH_UPLOADS": "s3://uploads",
        # SAM local has no queues, and would pass their names as URLs.
        "HEARTH_DEAD_LETTERS": "",
    }


def fill_buckets(s3: Any, models: Path) -> None:
    """Create `artifacts` with the models of a store, and the empty buckets `uploads`, with versions, and `results`."""
    upload_folder(s3, models, "artifacts", "models/")
    for bucket in ("uploads", "results"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket="uploads", VersioningConfiguration={"Status": "Enabled"})


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file:// store with one small model of each function."""
    folder = tmp_path_factory.mktemp("zoo")
    for model in ("sentiment-en", "sentiment-zh"):
        make_text_artifact(folder, model)
    make_image_artifact(folder, IMAGE_MODEL)
    return folder


@pytest.fixture(scope="session")
def every_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file:// store with all models of template.yaml: the zoo, and random ones for the two that it lacks."""
    from msgspec.structs import replace

    from tests.functions import checkpoints

    work, store = tmp_path_factory.mktemp("random"), tmp_path_factory.mktemp("every") / "store"
    shutil.copytree(ROOT / "export/zoo", store)
    for name, kind in (("fill-mask", "BertForMaskedLM"), ("question-answering", "BertForQuestionAnswering")):
        checkpoints.save(work / name, kind)
        model = checkpoints.build_model(work / name, work / name / "made")
        checkpoints.put(replace(model.manifest, model=name), work / name / "made", store)
    return store


@pytest.fixture(scope="session")
def s3_url(zoo: Path) -> Iterator[str]:
    """A local S3 with the zoo in `artifacts` and the empty buckets `uploads`, with versions, and `results`."""
    with moto_s3() as url:
        fill_buckets(client(url), zoo)
        yield url


@pytest.fixture(scope="module")
def containers() -> Iterator[dict[str, str]]:
    """A container engine with Lambda's image: the environment that makes docker and SAM use it.

    It ends with its module: browsers drop their requests when a network of containers appears or goes.
    """
    with engine() as environment:
        build_image(environment)
        yield environment


@pytest.fixture(scope="module")
def container_variables(containers: dict[str, str], every_model: Path) -> Iterator[dict[str, str]]:
    """Variables of functions in containers: a local S3 that they can reach, with every model."""
    with moto_s3(BRIDGE) as url:  # the engine's address
        fill_buckets(client(url), every_model)
        yield settings(url)


@pytest.fixture(scope="module")
def container_s3(container_variables: dict[str, str]) -> Any:
    return client(container_variables["AWS_ENDPOINT_URL"])


@pytest.fixture(scope="module")
def sam(
    containers: dict[str, str], container_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Sam:
    return build(tmp_path_factory.mktemp("sam"), containers | CREDENTIALS, container_variables)


@pytest.fixture(scope="session")
def s3(s3_url: str) -> Any:
    return client(s3_url)


@pytest.fixture(scope="session")
def environment(s3_url: str) -> dict[str, str]:
    return settings(s3_url)


@pytest.fixture(scope="module")
def text(environment: dict[str, str]) -> Iterator[Emulator]:
    with Emulator.of("text_classification", environment | {"HEARTH_MODELS": TEXT_MODEL}) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def image(environment: dict[str, str]) -> Iterator[Emulator]:
    with Emulator.of("image_classification", environment | {"HEARTH_MODELS": IMAGE_MODEL}) as emulator:
        yield emulator
