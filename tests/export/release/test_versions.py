"""What is in a store, damaged versions included."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hearth.errors import StoreError
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.release.versions import DamagedVersion, list_versions


def test_versions_have_their_aliases_and_damaged_ones_their_error(tmp_path: Path) -> None:
    for name in ("sentiment-zh", "ner-zh"):
        shutil.copytree(ZOO / name, tmp_path / name)
    (tmp_path / "ner-zh/1/manifest.json").write_text("{}")
    versions, damaged = list_versions(open_store(tmp_path.as_uri()))
    assert [(version.manifest.model, version.aliases) for version in versions] == [("sentiment-zh", ["prod"])]
    assert [version.name for version in damaged] == ["ner-zh@1"]
    assert isinstance(damaged[0], DamagedVersion)
    assert "manifest.json" in damaged[0].error


def test_a_store_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        list_versions(open_store((tmp_path / "nowhere").as_uri()))
