"""Publishing: the manifest arrives last, versions never change, aliases survive others' changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hearth.errors import BadRequest, NotFound
from hearth.models import signature
from hearth.storage.base import Conflict
from hearth.storage.file import FileStore
from hearth.storage.open import open_store
from hearth_build.release.publish import list_versions, publish, set_alias
from hearth_build.release.signing import verify_published
from tests.support.signed import key, make_keys


class Watched(FileStore):
    """Notes the order of writes; calls `before_put` first."""

    def __init__(self, uri: str, before_put: Callable[[str], None] = lambda path: None) -> None:
        super().__init__(uri)
        self.written: list[str] = []
        self.before_put = before_put

    def put(self, path: str, data: Any, **conditions: Any) -> str:
        self.before_put(path)
        self.written.append(path)
        return super().put(path, data, **conditions)


def test_manifest_is_written_after_all_files_and_then_the_alias(toy_work: Path, tmp_path: Path) -> None:
    store = Watched(tmp_path.as_uri())
    publish(store, toy_work / "artifact", "prod")
    assert store.written[-2:] == ["toy/1/manifest.json", "toy/aliases.json"]
    assert len(store.written) == len(list((toy_work / "artifact").iterdir())) + 1
    held = list_versions(store)[0]
    assert (held.manifest.model, held.manifest.version, held.manifest.task) == ("toy", "1", "text-classification")
    assert held.aliases == ["prod"]


def test_a_signature_goes_after_the_files_and_before_the_manifest(toy_work: Path, tmp_path: Path) -> None:
    trust = make_keys(tmp_path / "keys")
    store = Watched((tmp_path / "store").as_uri())
    publish(store, toy_work / "artifact", "prod", key(trust))
    assert store.written[-3:] == ["toy/1/model.sig", "toy/1/manifest.json", "toy/aliases.json"]
    assert str(verify_published(store, "toy", signature.read(trust))) == "toy@1"
    (copy := tmp_path / "copy").mkdir()
    for path in (toy_work / "artifact").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "model.sig").write_bytes(store.get("toy/1/model.sig"))
    other = open_store((tmp_path / "other").as_uri())
    publish(other, copy)  # signed elsewhere
    assert other.get("toy/1/model.sig") == store.get("toy/1/model.sig")


def test_a_published_version_cannot_be_published_again(toy_work: Path, tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    publish(store, toy_work / "artifact")
    with pytest.raises(Conflict, match="never change"):
        publish(store, toy_work / "artifact")


def test_a_folder_without_manifest_or_with_altered_files_is_refused(toy_work: Path, tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    with pytest.raises(BadRequest, match=r"no manifest\.json"):
        publish(store, tmp_path)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (toy_work / "artifact").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "report.md").write_text("altered", encoding="utf-8")
    with pytest.raises(BadRequest, match=r"report\.md differ"):
        publish(store, copy)
    assert store.list() == []


def test_an_alias_changed_by_another_meanwhile_is_kept(toy_work: Path, tmp_path: Path) -> None:
    other = open_store(tmp_path.as_uri())
    publish(other, toy_work / "artifact", "prod")
    interfered: list[str] = []

    def interfere(path: str) -> None:
        if path.endswith("aliases.json") and not interfered:
            interfered.append(path)
            set_alias(other, "toy", "theirs", "1")

    set_alias(Watched(tmp_path.as_uri(), interfere), "toy", "ours", "1")
    assert set(json.loads(other.get("toy/aliases.json"))) == {"prod", "theirs", "ours"}


def test_an_alias_needs_a_published_version(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no version 7"):
        set_alias(open_store(tmp_path.as_uri()), "toy", "prod", "7")
