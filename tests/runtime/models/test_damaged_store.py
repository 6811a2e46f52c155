"""One damaged model does not hide the others, and a store that does not exist is an error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from hearth.errors import NotFound, StoreError
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.cli import serve
from tests.conftest import set_alias


def break_manifest(model: Path) -> None:
    (model / "1/manifest.json").write_text("{")


def remove_manifest(model: Path) -> None:
    (model / "1/manifest.json").unlink()


def break_aliases(model: Path) -> None:
    (model / "aliases.json").write_text("[1]")


def point_nowhere(model: Path) -> None:
    set_alias(model.parent, model.name, "7")


def have_no_prod(model: Path) -> None:
    set_alias(model.parent, model.name, "1", "staging")


def stray_folder(model: Path) -> None:
    shutil.copytree(model / "1", model / "backup")
    break_manifest(model)


@pytest.fixture
def client(serving: Path) -> Iterator[TestClient]:
    with TestClient(serve.app()) as client:
        yield client


@pytest.mark.parametrize(
    "damage", [break_manifest, remove_manifest, break_aliases, point_nowhere, have_no_prod, stray_folder]
)
def test_the_other_models_are_listed(client: TestClient, serving: Path, damage: Callable[[Path], None]) -> None:
    damage(serving / "sentiment-en")
    catalogue = client.get("/models").json()
    assert [model["name"] for model in catalogue["models"]] == ["resnet20-cifar10"]
    (unavailable,) = catalogue["unavailable"]
    assert unavailable["name"] == "sentiment-en"
    assert unavailable["error"]
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["resnet20-cifar10"]
    for method, path in (("GET", "/v2/models"), ("GET", "/v2/models/stats"), ("POST", "/v2/repository/index")):
        response = client.request(method, path)
        assert response.status_code == 200, response.text
        assert "resnet20-cifar10" in response.text
    assert "/models/resnet20-cifar10" in client.get("/openapi.json").json()["paths"]


def test_a_sound_catalogue_has_no_field_for_damage(client: TestClient) -> None:
    assert set(client.get("/models").json()) == {"models"}


def test_a_store_that_does_not_exist_is_named(tmp_path: Path) -> None:
    registry = Registry(open_store(f"{(tmp_path / 'nope').as_uri()}"))
    for call in (registry.models, lambda: registry.resolve("sentiment-en")):
        with pytest.raises(StoreError, match=f"{tmp_path}/nope"):
            call()


def test_a_model_that_does_not_exist_is_not_found(serving: Path) -> None:
    with pytest.raises(NotFound):
        Registry(open_store(serving.as_uri())).resolve("nope")


@pytest.mark.parametrize("name", ["a#b", "a?b", "a b", "a%20b", "ä"])
def test_a_folder_may_have_any_name(store_folder: Path, tmp_path: Path, name: str) -> None:
    store_folder.rename(tmp_path / name)
    assert len(Registry(open_store((tmp_path / name).as_uri())).models()) == 2
    if "%" not in name:
        assert len(Registry(open_store(f"file://{tmp_path}/{name}")).models()) == 2


def test_a_prefix_in_s3_may_have_a_hash() -> None:
    store = open_store("s3://bucket/a#b/c?d")
    assert (store.bucket.name, store.prefix) == ("bucket", "a#b/c?d")  # type: ignore[attr-defined]
