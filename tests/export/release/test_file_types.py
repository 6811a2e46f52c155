from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hearth.errors import BadRequest
from hearth.storage.open import open_store
from hearth_build.release.file_types import check_file_types
from hearth_build.release.publish import publish
from tests.export.release.rewriting import write_manifest


def zip_of_pickle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02.")
    return buffer.getvalue()


def array_of_objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


PICKLE = b"cos\nsystem\n(S'true'\ntR."


FOREIGN = [
    ("model.onnx", b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.", "pickle"),
    ("model.onnx", PICKLE, "pickle"),
    ("model.bin", b"\x80\x02}q\x00." + bytes(100), "pickle"),
    ("model.bin", zip_of_pickle(), "zip"),
    ("model.onnx", zip_of_pickle(), "zip"),
    ("model.bin", array_of_objects(), "NumPy"),
    ("model.onnx", b"\x18\0\0\0ORTM" + bytes(64), "ONNX Runtime's own format"),
    ("model.bin", b"\x1f\x8b" + bytes(64), "gzip"),
    ("model.bin", b"\x7fELF" + bytes(64), "program"),
    ("model.bin", b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    ("weights.pt", b"x", "must not contain"),
    ("weights.pkl", b"x", "must not contain"),
    ("model.pt2", b"x", "must not contain"),
    ("custom.so", b"x", "must not contain"),
    ("run.py", b"x", "must not contain"),
    ("model", b"x", "must not contain"),
    ("extra.json", b"{", "not JSON"),
    ("extra.json", b"[" * 100_000, "not JSON"),
    ("card.md", b"\xff\xfe", "not text"),
    ("card.txt", b"a\0b", "not text"),
    ("picture.png", b"GIF89a", "not a PNG"),
]


@pytest.mark.parametrize(
    ("name", "data", "message"), FOREIGN, ids=[f"{name}-{message}" for name, _, message in FOREIGN]
)
def test_files_of_other_types_are_refused(artifact: Path, name: str, data: bytes, message: str) -> None:
    check_file_types(artifact, write_manifest(artifact))
    (artifact / name).write_bytes(data)
    with pytest.raises(BadRequest, match=message):
        check_file_types(artifact, write_manifest(artifact))


@pytest.mark.parametrize("data", [b".", b"." + bytes(100), b"\x80\x04" + bytes(range(256)), b"]." * 50, b""])
def test_weights_may_start_with_any_byte(artifact: Path, data: bytes) -> None:
    (artifact / "model.bin").write_bytes(data + b"\x01\x02\x03")
    check_file_types(artifact, write_manifest(artifact))


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_are_refused(artifact: Path, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    (artifact / "model.bin").rename(tmp_path / "elsewhere")
    link(artifact / "model.bin", tmp_path / "elsewhere")
    with pytest.raises(BadRequest, match="is a link"):
        publish(open_store((tmp_path / "store").as_uri()), artifact)
