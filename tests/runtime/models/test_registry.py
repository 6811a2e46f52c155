"""How names resolve: pinned versions, versions, aliases, and aliases that cannot be read."""

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


def test_a_name_resolves_to_an_alias_or_a_version(folder: Path) -> None:
    models = registry(folder)
    assert models.find(MODEL) == models.find(f"{MODEL}@prod") == models.find(f"{MODEL}@2") == Ref(MODEL, "2")
    assert models.versions(MODEL) == ["1", "2", "10"]
    assert models.models() == [MODEL]
    with pytest.raises(NotFound, match="has no alias next"):
        models.resolve(f"{MODEL}@next")
    with pytest.raises(BadRequest):
        models.resolve("../up")


def test_a_pinned_version_is_the_only_one_served(folder: Path) -> None:
    pinned = registry(folder, f"{MODEL}@1")
    assert pinned.find(MODEL) == pinned.find(f"{MODEL}@1") == Ref(MODEL, "1")
    assert pinned.versions(MODEL) == ["1"]
    assert pinned.models() == [MODEL]
    with pytest.raises(Forbidden, match="Only version 1"):
        pinned.resolve(f"{MODEL}@2")
    with pytest.raises(NotFound):
        pinned.resolve("another")


def test_unreadable_aliases_keep_their_last_value(folder: Path) -> None:
    aliases, models = folder / MODEL / "aliases.json", registry(folder)
    assert models.resolve(MODEL).ref.version == "2"
    aliases.write_text("{")
    assert models.resolve(MODEL).ref.version == "2"
    with pytest.raises(StoreError, match="cannot be read"):
        registry(folder).resolve(MODEL)


def test_aliases_are_read_again_after_they_are_forgotten(folder: Path) -> None:
    aliases, models = folder / MODEL / "aliases.json", registry(folder, alias_seconds=3600)
    assert models.resolve(MODEL).ref.version == "2"
    aliases.write_text('{"prod": {"version": "10"}}')
    assert models.resolve(MODEL).ref.version == "2"
    models.forget_aliases()
    assert models.resolve(MODEL).ref.version == "10"


def test_an_alias_of_a_missing_version_is_not_cached(folder: Path) -> None:
    aliases, models = folder / MODEL / "aliases.json", registry(folder, alias_seconds=3600)
    aliases.write_text('{"prod": {"version": "77"}}')
    with pytest.raises(NotFound, match="has no version 77"):
        models.resolve(MODEL)
    aliases.write_text('{"prod": {"version": "2"}}')
    assert models.resolve(MODEL).manifest.version == "2"
