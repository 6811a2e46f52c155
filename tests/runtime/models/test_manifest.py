"""The manifest is parsed strictly, and errors name the field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from hearth.errors import ManifestError
from hearth.models import manifest
from tests.support.artifacts import make_image_artifact, make_text_artifact

SCHEMA = Path(manifest.__file__).with_name("manifest.schema.json")


@pytest.fixture
def valid(tmp_path: Path) -> dict[str, Any]:
    path = make_text_artifact(tmp_path) / "manifest.json"
    return json.loads(path.read_bytes())  # type: ignore[no-any-return]


def test_a_dumped_manifest_parses_back(tmp_path: Path) -> None:
    for make in (make_text_artifact, make_image_artifact):
        raw = (make(tmp_path) / "manifest.json").read_bytes()
        assert manifest.dump(manifest.parse(raw)) == raw
        jsonschema.validate(json.loads(raw), json.loads(SCHEMA.read_bytes()))


def test_the_published_schema_equals_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_bytes()) == json.loads(json.dumps(manifest.schema()))


def _set(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        node: Any = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("task", value="mind-reading"), "`task`"),
        (_set("labels", value=["good"]), "`labels` has 1 names, but the graph has"),
        (_set("schema", value=2), "`schema`"),
        (_set("version", value="0"), "`version`"),
        (_set("model", value="../up"), "`model`"),
        (_set("colour", value="red"), "colour"),
        (_set("files", 0, "sha256", value="abc"), r"`files\[0\]\.sha256`"),
        (_set("files", 0, "path", value="../model.onnx"), r"`files\[0\]\.path`"),
        (_set("files", 0, "size", value=-1), r"`files\[0\]\.size`"),
        (_set("files", 0, "size", value=manifest.CHUNK + 1), "`chunks`"),
        (_set("graphs", value={}), r"`graphs\.main`"),
        (_set("graphs", "main", "path", value="other.onnx"), "other.onnx"),
        (_set("preprocessing", "tokenizer", value="none.json"), r"none\.json"),
        (_set("preprocessing", "kind", value="smell"), "`preprocessing.kind`"),
        (_set("limits", "batch", value=0), r"`limits\.batch`"),
    ],
)
def test_a_wrong_field_is_named(valid: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str) -> None:
    valid.setdefault("limits", {})
    change(valid)
    with pytest.raises(ManifestError, match=message):
        manifest.parse(json.dumps(valid).encode())


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"\xff{}", b"null"])
def test_other_documents_are_a_manifest_error(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        manifest.parse(raw)
