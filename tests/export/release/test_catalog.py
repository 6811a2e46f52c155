"""The store's catalogue follows every change of an alias, also of many at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hearth.errors import StoreError
from hearth.models.catalog import FILE, read
from hearth.models.registry import Registry
from hearth.storage.open import open_store
from hearth_build.cloud.check_store import check_store
from hearth_build.release.aliases import set_alias
from hearth_build.release.catalog import rebuild, update
from tests.support.artifacts import make_image_artifact, make_text_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in ("1", "2"):
        make_text_artifact(tmp_path, "a", version)
    make_image_artifact(tmp_path, "b")
    for model in ("a", "b"):
        (tmp_path / model / "aliases.json").unlink()
    return tmp_path


def versions(folder: Path) -> dict[str, str]:
    stored = read(open_store(folder.as_uri()))
    return {name: entry.version for name, entry in stored[0].items()} if stored else {}


def test_the_alias_prod_is_what_the_catalogue_says(folder: Path) -> None:
    store = open_store(folder.as_uri())
    set_alias(store, "a", "next", "2")
    assert versions(folder) == {}
    set_alias(store, "b", "prod", "1")
    assert versions(folder) == {"b": "1"}
    set_alias(store, "a", "prod", "1")
    set_alias(store, "a", "prod", "2")
    assert versions(folder) == {"a": "2", "b": "1"}
    entries, failures = Registry(store).catalog()
    assert {name: entry.task for name, entry in entries.items()} == {
        "a": "text-classification",
        "b": "image-classification",
    }
    assert not failures


def test_the_listing_reads_one_object(folder: Path) -> None:
    store = open_store(folder.as_uri())
    for model in ("a", "b"):
        set_alias(store, model, "prod", "1")
    (folder / "a/1/manifest.json").unlink()
    assert list(Registry(store).catalog()[0]) == ["a", "b"], "no other object is read"
    assert list(rebuild(store)) == ["b"]
    assert Registry(store).models() == ["b"]


def test_many_changes_at_once_are_all_kept(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(24)]
    for name in names:
        make_text_artifact(tmp_path, name)
    store = open_store(tmp_path.as_uri())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: set_alias(store, name, "prod", "1"), names))
    assert versions(tmp_path) == dict.fromkeys(sorted(names), "1")


def test_a_model_whose_alias_is_gone_leaves_the_catalogue(folder: Path) -> None:
    store = open_store(folder.as_uri())
    for model in ("a", "b"):
        set_alias(store, model, "prod", "1")
    (folder / "a/aliases.json").write_text("{}")
    update(store, "a")
    assert versions(folder) == {"b": "1"}


def test_a_damaged_catalogue_is_named_and_written_anew(folder: Path) -> None:
    store = open_store(folder.as_uri())
    set_alias(store, "a", "prod", "1")
    (folder / FILE).write_text("{")
    with pytest.raises(StoreError, match="hearth catalog"):
        Registry(store).catalog()
    assert list(rebuild(store)) == ["a"]


def test_the_doctor_finds_an_outdated_catalogue(folder: Path) -> None:
    store = open_store(folder.as_uri())
    set_alias(store, "a", "prod", "1")
    assert any("describes all 1 models" in finding.text for finding in check_store(store))
    (folder / "b/aliases.json").write_text(json.dumps({"prod": {"version": "1"}}))
    assert any(f"{FILE} is out of date for b" in finding.text for finding in check_store(store))
