"""What names mean: pinned versions, versions, aliases, and aliases while the store does not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth.errors import BadRequest, Forbidden, NotFound, StoreError
from hearth.models.registry import Ref, Registry
from hearth.storage.open import open_store
from tests.support.artifacts import make_text_artifact

MODEL = "sentiment-en"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in ("1", "2", "10"):
        make_text_artifact(tmp_path, MODEL, version)
    (tmp_path / MODEL / "aliases.json").write_text('{"prod": {"version": "2"}}')
    return tmp_path


def registry(folder: Path, *allowed: str, alias_seconds: float = 0) -> Registry:
    return Registry(open_store(f"file://{folder}"), allowed, alias_seconds)


def test_a_name_is_an_alias_or_a_version(folder: Path) -> None:
    found = registry(folder)
    assert found.find(MODEL) == found.find(f"{MODEL}@prod") == found.find(f"{MODEL}@2") == Ref(MODEL, "2")
    assert found.versions(MODEL) == ["1", "2", "10"]
    assert found.models() == [MODEL]
    with pytest.raises(NotFound, match="has no alias next"):
        found.resolve(f"{MODEL}@next")
    with pytest.raises(BadRequest):
        found.resolve("../up")


def test_a_pinned_version_is_the_only_one(folder: Path) -> None:
    found = registry(folder, f"{MODEL}@1")
    assert found.find(MODEL) == found.find(f"{MODEL}@1") == Ref(MODEL, "1")
    assert found.versions(MODEL) == ["1"]
    assert found.models() == [MODEL]
    with pytest.raises(Forbidden, match="Only version 1"):
        found.resolve(f"{MODEL}@2")
    with pytest.raises(NotFound):
        found.resolve("another")


def test_aliases_that_cannot_be_read_are_those_of_before(folder: Path) -> None:
    aliases, found = folder / MODEL / "aliases.json", registry(folder)
    assert found.resolve(MODEL).ref.version == "2"
    aliases.write_text("{")
    assert found.resolve(MODEL).ref.version == "2"
    with pytest.raises(StoreError, match="cannot be read"):
        registry(folder).resolve(MODEL)


def test_aliases_are_read_again_when_they_are_old_or_forgotten(folder: Path) -> None:
    aliases, found = folder / MODEL / "aliases.json", registry(folder, alias_seconds=3600)
    assert found.resolve(MODEL).ref.version == "2"
    aliases.write_text('{"prod": {"version": "10"}}')
    assert found.resolve(MODEL).ref.version == "2"
    found.forget_aliases()
    assert found.resolve(MODEL).ref.version == "10"


def test_an_alias_that_leads_nowhere_is_not_remembered(folder: Path) -> None:
    aliases, found = folder / MODEL / "aliases.json", registry(folder, alias_seconds=3600)
    aliases.write_text('{"prod": {"version": "77"}}')
    with pytest.raises(NotFound, match="has no version 77"):
        found.resolve(MODEL)
    aliases.write_text('{"prod": {"version": "2"}}')
    assert found.resolve(MODEL).manifest.version == "2"
