"""Changes of aliases: shares, shadows, promotion and rollback, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from hearth.errors import BadRequest, NotFound, StoreError
from hearth.models import catalog
from hearth.models.registry import Alias, Registry, Split
from hearth.storage.base import Store
from hearth.storage.open import open_store
from hearth_build.cloud.check_store import check_store
from hearth_build.release import aliases
from hearth_build.release.catalog import rebuild
from hearth_build.release.versions import list_versions
from tests.support.artifacts import make_text_artifact

MODEL = "toy"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    for version in "123":
        make_text_artifact(tmp_path, MODEL, version)
    opened = open_store(tmp_path.as_uri())
    aliases.set_alias(opened, MODEL, "prod", "1")
    return opened


def test_a_share_and_a_shadow_are_promoted_or_rolled_back(store: Store) -> None:
    rebuild(store)
    assert aliases.set_canary(store, MODEL, "prod", "2", 0.1) == Alias("1", canary=Split("2", 0.1))
    both = aliases.set_shadow(store, MODEL, "prod", "3", 1.0)
    assert both == aliases.read_alias(store, MODEL, "prod") == Alias("1", Split("2", 0.1), Split("3", 1.0))
    assert aliases.describe(both) == (
        "version 1, version 2 for 10 % of the callers, with version 3 as shadow of 100 % of the requests"
    )
    assert aliases.rollback(store, MODEL, "prod") == Alias("1")
    aliases.set_canary(store, MODEL, "prod", "2", 0.5)
    assert catalog.read(store)[0][MODEL].version == "1"  # type: ignore[index]
    assert aliases.promote(store, MODEL, "prod") == Alias("2")
    assert catalog.read(store)[0][MODEL].version == "2"  # type: ignore[index]
    aliases.set_canary(store, MODEL, "prod", "3", 0.5)
    aliases.set_alias(store, MODEL, "prod", "1")
    assert aliases.read_alias(store, MODEL, "prod") == Alias("1")


def test_an_alias_without_shares_is_stored_as_before_and_read_by_what_knows_no_shares(store: Store) -> None:
    class FormerAlias(msgspec.Struct):
        version: str

    path = f"{MODEL}/aliases.json"
    assert json.loads(store.get(path)) == {"prod": {"version": "1"}}
    aliases.set_canary(store, MODEL, "prod", "2", 0.1)
    aliases.set_shadow(store, MODEL, "prod", "3", 0.1)
    former = msgspec.json.decode(store.get(path), type=dict[str, FormerAlias])
    assert former["prod"].version == "1"


def test_fields_of_others_are_kept(store: Store) -> None:
    store.put(f"{MODEL}/aliases.json", b'{"prod": {"version": "1"}, "next": {"version": "2", "owner": "me"}}')
    aliases.set_canary(store, MODEL, "prod", "2", 0.1)
    assert json.loads(store.get(f"{MODEL}/aliases.json"))["next"] == {"version": "2", "owner": "me"}


def test_what_would_not_work_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is version 1 already"):
        aliases.set_canary(store, MODEL, "prod", "1", 0.1)
    with pytest.raises(NotFound, match="no version 9"):
        aliases.set_shadow(store, MODEL, "prod", "9", 1)
    with pytest.raises(NotFound, match="no alias next yet"):
        aliases.set_canary(store, MODEL, "next", "2", 0.1)
    with pytest.raises(BadRequest, match="that could be promoted"):
        aliases.promote(store, MODEL, "prod")
    with pytest.raises(BadRequest, match="no shadow"):
        aliases.rollback(store, MODEL, "prod")
    for name in ("4", "a b", ""):
        with pytest.raises(BadRequest, match="cannot be an alias"):
            aliases.set_alias(store, MODEL, name, "1")
    manifest = tmp_path / MODEL / "2/manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"task": "token-classification"}))
    with pytest.raises(BadRequest, match="answers of another form"):
        aliases.set_canary(store, MODEL, "prod", "2", 0.1)


@pytest.mark.parametrize("document", ["{", "[]", '{"prod": {"version": "1", "canary": {"version": "2", "share": 2}}}'])
def test_an_alias_that_cannot_be_read_is_an_error_and_not_overwritten(store: Store, document: str) -> None:
    path = f"{MODEL}/aliases.json"
    store.put(path, document.encode())
    if document != "[]":
        with pytest.raises(StoreError, match="cannot be read"):
            aliases.set_canary(store, MODEL, "prod", "2", 0.1)
        assert store.get(path) == document.encode()
    with pytest.raises(StoreError, match="cannot be read"):
        Registry(store).resolve(MODEL)


def test_lists_and_checks_name_the_canary_and_the_shadow(store: Store, tmp_path: Path) -> None:
    aliases.set_canary(store, MODEL, "prod", "2", 0.1)
    aliases.set_shadow(store, MODEL, "prod", "3", 0.5)
    versions, _ = list_versions(store)
    assert [version.aliases for version in versions] == [["prod"], ["prod (10 % of callers)"], ["prod (shadow)"]]
    texts = [finding.text for finding in check_store(store)]
    assert any("version 2 for 10 % of the callers" in text for text in texts), texts
    (tmp_path / MODEL / "3/manifest.json").unlink()
    assert any("points to version 3, which does not exist" in finding.text for finding in check_store(store))
