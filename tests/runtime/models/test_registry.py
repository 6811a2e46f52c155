"""How names resolve: pinned versions, versions, aliases, and aliases that cannot be read."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hearth import deadline
from hearth.errors import BadRequest, Forbidden, NotFound, StoreError
from hearth.models.registry import REFRESH_SECONDS, Ref, Registry
from hearth.storage.open import open_store
from hearth_build.release.catalog import rebuild
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


def test_a_store_that_does_not_respond_delays_one_request_and_only_a_little(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild(open_store(folder.as_uri()))
    models, seconds = registry(folder, alias_seconds=3600), list[float | None]()
    assert (models.find(MODEL), models.models()) == (Ref(MODEL, "2"), [MODEL])
    long_ago = time.monotonic() - 3601
    models._aliases[MODEL] = (long_ago, models._aliases[MODEL][1])
    assert models._catalog
    models._catalog = (long_ago, models._catalog[1])

    def no_response(*_: Any, **__: Any) -> Any:
        seconds.append(deadline.remaining())
        raise StoreError("the store did not respond")

    monkeypatch.setattr(models.store, "get_with_etag", no_response)
    for _ in range(3):
        assert (models.find(MODEL), models.models()) == (Ref(MODEL, "2"), [MODEL])
    assert len(seconds) == 2  # the aliases and the catalogue once each
    assert all(left is not None and left <= REFRESH_SECONDS for left in seconds)


def test_a_model_that_was_removed_is_not_found_by_any_request(folder: Path) -> None:
    models = registry(folder, alias_seconds=3600)
    models.find(MODEL)
    models._aliases[MODEL] = (time.monotonic() - 3601, models._aliases[MODEL][1])
    (folder / MODEL / "aliases.json").unlink()
    for _ in range(2):
        with pytest.raises(NotFound, match="There is no model"):
            models.find(MODEL)


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


def test_what_is_remembered_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"m{number}" for number in range(5)]
    for name in names:
        make_text_artifact(folder, name)
    monkeypatch.setattr("hearth.models.registry.MAX_MANIFESTS", 3)
    monkeypatch.setattr("hearth.models.registry.MAX_ALIASES", 2)
    models = registry(folder, alias_seconds=3600)
    resolved = [models.resolve(name) for name in names]
    assert list(models._manifests) == [Ref(name, "1") for name in names[2:]]
    assert len(models._origins) == len(models._sizes) == 3
    assert list(models._aliases) == names[3:]
    assert models.resolve("m0").manifest == resolved[0].manifest  # read again
    assert models.origin(Ref("m0", "1"))[0]
    monkeypatch.setattr("hearth.models.registry.MAX_MANIFEST_BYTES", 1)
    models.resolve("m1")
    assert list(models._manifests) == [Ref("m1", "1")]


def test_models_are_listed_page_by_page(folder: Path) -> None:
    for name in ("a", "b", "c"):
        make_text_artifact(folder, name)
    (folder / "b" / "1" / "manifest.json").write_text("{}")
    for with_catalog in (False, True):
        if with_catalog:
            rebuild(open_store(folder.as_uri()))
        models, pages, after = registry(folder), [], ""
        while True:
            entries, failures, following = models.catalog_page(after, 2)
            pages.append([*entries, *failures])
            if not following:
                break
            after = following
        damaged = [] if with_catalog else ["b"]
        assert sorted(name for page in pages for name in page) == sorted(["a", "c", MODEL, *damaged])
        assert len(pages) == 2
        assert models.catalog_page("zzz", 2) == ({}, {}, "")
