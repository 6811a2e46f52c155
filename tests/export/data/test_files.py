from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.files import content, digest, list_files, main_table, original_of

NAMES = ("cat/a.jpg", "train/b.jpg", ".git/x", "__MACOSX/cat/a.jpg", "cat/Thumbs.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(name)
    return tmp_path / "data"


def packed(folder: Path) -> Path:
    with zipfile.ZipFile(folder.parent / "data.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    return folder.parent / "data.zip"


def test_a_folder_and_its_zip_have_the_same_files(folder: Path) -> None:
    for root in (folder, packed(folder)):
        files = list_files(root)
        assert [str(file.path) for file in files] == ["cat/a.jpg", "train/b.jpg"]
        assert [content(file) for file in files] == [b"cat/a.jpg", b"train/b.jpg"]
        assert [file.folder_label() for file in files] == ["cat", ""], "train is a part of the data, no class"
        assert str(files[0]) == str(root / "cat/a.jpg")


def test_a_file_that_is_no_zip_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(DataError, match=r"a\.zip cannot be read: File is not a zip file"):
        list_files(tmp_path / "a.zip")


def test_the_digest_is_that_of_visible_names_and_contents(folder: Path) -> None:
    before = digest(folder)
    (folder / ".git/x").write_text("other")
    assert digest(folder) == before
    (folder / "cat/a.jpg").rename(folder / "cat/c.jpg")
    renamed = digest(folder)
    (folder / "cat/c.jpg").write_text("other")
    assert len({before, renamed, digest(folder), digest(folder / "cat/c.jpg")}) == 4


def test_the_table_of_a_folder_is_found_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("")
    assert main_table(tmp_path) is None
    (tmp_path / "_classes.csv").write_text("")
    assert main_table(tmp_path) == tmp_path / "_classes.csv"
    assert main_table(tmp_path / "notes.csv") is None


def test_augmented_copies_name_their_original() -> None:
    assert original_of("cat_jpg.rf.1f3d.jpg") == "cat_jpg"
    assert original_of("cat.jpg") == ""


def test_inputs_are_read_where_they_are_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert content(tmp_path / "a") == b"x"
    assert content("a text") == "a text"
