from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data import labelled_images
from hearth_build.data.datasets import DataError


def test_hidden_files_are_skipped_in_class_folders(tmp_path: Path) -> None:
    for name in ("cat/a.jpg", "cat/.DS_Store", "cat/Thumbs.db", "dog/b.PNG", ".git/x.jpg", "notes.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [example.expected for example in labelled_images.read(tmp_path)] == ["cat", "dog"]


def test_missing_images_of_a_table_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "list.csv").write_text("file,class\na.jpg,cat\nb.jpg,dog\n")
    with pytest.raises(DataError, match=r"1 of the 2 images .*: b\.jpg"):
        labelled_images.read(tmp_path / "list.csv")
