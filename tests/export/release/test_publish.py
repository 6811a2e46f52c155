"""Publishing: the manifest is written last, versions never change, aliases survive concurrent changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from hearth.errors import BadRequest, NotFound
from hearth.models import signature
from hearth.models.download import describe
from hearth.models.manifest import dump, parse
from hearth.storage.base import Conflict
from hearth.storage.file import FileStore
from hearth.storage.open import open_store
from hearth_build.release.aliases import set_alias
from hearth_build.release.publish import publish
from hearth_build.release.signing import verify_published
from hearth_build.release.versions import list_versions
from tests.support.artifacts import make_text_artifact
from tests.support.signed import key, make_keys


class RecordingStore(FileStore):
    """A store that records the order of its writes and calls `before_put` before each."""

    def __init__(self, uri: str, before_put: Callable[[str], None] = lambda path: None) -> None:
        super().__init__(uri)
        self.written: list[str] = []
        self.before_put = before_put

    def put(self, path: str, data: Any, **conditions: Any) -> str:
        self.before_put(path)
        self.written.append(path)
        return super().put(path, data, **conditions)


def test_the_manifest_is_written_after_all_files_and_before_the_alias(toy_work: Path, tmp_path: Path) -> None:
    store = RecordingStore(tmp_path.as_uri())
    publish(store, toy_work / "artifact", "prod")
    assert store.written[-3:] == ["toy/1/manifest.json", "toy/aliases.json", "catalog.json"]
    assert store.written[0] == "toy/1/publishing"
    assert len(store.written) == len(list((toy_work / "artifact").iterdir())) + 3
    assert "toy/1/publishing" not in store.list()
    published = list_versions(store)[0][0]
    assert (published.manifest.model, published.manifest.version, published.manifest.task) == (
        "toy",
        "1",
        "text-classification",
    )
    assert published.aliases == ["prod"]


def test_the_signature_is_written_after_the_files_and_before_the_manifest(toy_work: Path, tmp_path: Path) -> None:
    trust = make_keys(tmp_path / "keys")
    store = RecordingStore((tmp_path / "store").as_uri())
    publish(store, toy_work / "artifact", "prod", key(trust))
    assert store.written[-4:-1] == ["toy/1/model.sig", "toy/1/manifest.json", "toy/aliases.json"]
    assert str(verify_published(store, "toy", signature.read(trust))) == "toy@1"
    (copy := tmp_path / "copy").mkdir()
    for path in (toy_work / "artifact").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    (copy / "model.sig").write_bytes(store.get("toy/1/model.sig"))
    other = open_store((tmp_path / "other").as_uri())
    publish(other, copy)  # it was signed before
    assert other.get("toy/1/model.sig") == store.get("toy/1/model.sig")


def test_another_build_gets_the_next_version_and_the_same_files_keep_theirs(toy_work: Path, tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    assert publish(store, toy_work / "artifact").version == "1"
    assert publish(store, toy_work / "artifact", "prod").version == "1"
    copy = rebuilt(toy_work / "artifact", tmp_path / "copy")
    assert publish(store, copy, "prod").version == "2"
    assert publish(store, toy_work / "artifact").version == "1"
    assert [(item.manifest.version, item.aliases) for item in list_versions(store)[0]] == [("1", []), ("2", ["prod"])]
    for version in ("1", "2"):
        assert parse(store.get(f"toy/{version}/manifest.json")).version == version


def test_a_version_that_was_signed_beforehand_is_not_numbered_anew(toy_work: Path, tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    publish(store, toy_work / "artifact", signer=key(make_keys(tmp_path / "keys")))
    copy = rebuilt(toy_work / "artifact", tmp_path / "copy")
    (copy / "model.sig").write_bytes(store.get("toy/1/model.sig"))
    with pytest.raises(Conflict, match="signs this version"):
        publish(store, copy)


def rebuilt(artifact: Path, folder: Path) -> Path:
    """A copy of an artifact with another model card."""
    folder.mkdir()
    for path in artifact.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "report.md").write_text("built again", encoding="utf-8")
    manifest = parse((folder / "manifest.json").read_bytes())
    files = tuple(describe(folder / file.path) for file in manifest.files)
    (folder / "manifest.json").write_bytes(dump(structs.replace(manifest, files=files)))
    return folder


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


def test_a_concurrent_change_of_an_alias_is_kept(toy_work: Path, tmp_path: Path) -> None:
    other = open_store(tmp_path.as_uri())
    publish(other, toy_work / "artifact", "prod")
    interferences: list[str] = []

    def interfere(path: str) -> None:
        if path.endswith("aliases.json") and not interferences:
            interferences.append(path)
            set_alias(other, "toy", "theirs", "1")

    set_alias(RecordingStore(tmp_path.as_uri(), interfere), "toy", "ours", "1")
    assert set(json.loads(other.get("toy/aliases.json"))) == {"prod", "theirs", "ours"}


def test_an_alias_needs_a_published_version(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no version 7"):
        set_alias(open_store(tmp_path.as_uri()), "toy", "prod", "7")


def test_statistics_of_data_are_in_the_published_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hearth_build.release.publish.admit", lambda *_: None)  # the artifact has no golden answers
    artifact = make_text_artifact(tmp_path / "artifacts")
    (tmp_path / "data.tsv").write_text("text\tlabel\n" + "good film\tpositive\nbad movie\tnegative\n" * 40)
    store = open_store((tmp_path / "store").as_uri())
    first = publish(store, artifact)
    second = publish(store, artifact, reference=tmp_path / "data.tsv")
    assert (first.version, first.reference, second.version) == ("1", None, "2")
    assert second.reference is not None
    assert (second.reference.dataset, second.reference.inputs) == ("data.tsv", 40)
    assert parse(store.get("sentiment-en/2/manifest.json")) == second
    assert publish(store, artifact, reference=tmp_path / "data.tsv").version == "2"
    (tmp_path / "few.tsv").write_text("text\tlabel\ngood\tpositive\n")
    with pytest.raises(BadRequest, match="at least 30 examples"):
        publish(store, artifact, reference=tmp_path / "few.tsv")
