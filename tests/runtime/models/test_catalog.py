"""The store's catalogue, as it is described and read."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hearth.errors import StoreError
from hearth.models import catalog
from hearth.models.manifest import parse
from tests.support.artifacts import make_text_artifact
from tests.support.memory_store import MemoryStore
from tests.support.structs import mutable_structs


def test_an_entry_has_what_a_list_shows(tmp_path: Path) -> None:
    manifest = parse((make_text_artifact(tmp_path) / "manifest.json").read_bytes())
    entry = catalog.describe(manifest)
    assert (entry.task, entry.version, entry.size) == ("text-classification", "1", manifest.size)
    assert (entry.description, entry.licence, entry.metrics) == (manifest.description, manifest.licence, {})
    assert mutable_structs(catalog) == set()


def test_a_catalogue_is_read_with_its_tag(tmp_path: Path) -> None:
    manifest = parse((make_text_artifact(tmp_path) / "manifest.json").read_bytes())
    entries = {"sentiment-en": catalog.describe(manifest)}
    store = MemoryStore(objects={catalog.FILE: msgspec.json.encode(entries)})
    assert catalog.read(store) == (entries, store.get_with_etag(catalog.FILE)[1])
    assert catalog.read(MemoryStore()) is None


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"m": {"task": 5}}', b"\xff"])
def test_a_damaged_catalogue_says_how_to_write_it_anew(raw: bytes) -> None:
    with pytest.raises(StoreError, match=r"catalog\.json of s3://bucket/prefix cannot be read: .* `hearth catalog`"):
        catalog.read(MemoryStore(objects={catalog.FILE: raw}))
