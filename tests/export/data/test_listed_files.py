from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data import labelled_images, transcripts
from hearth_build.data.datasets import DataError


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def images(table: Path) -> list[tuple[str, object]]:
    return [(item.inputs.read().decode(), item.expected) for item in labelled_images.read(table)]


def test_images_are_found_by_their_number_in_the_folder_named_like_the_table(tmp_path: Path) -> None:
    make(tmp_path, "train/0a1.jpg", "train/0b2.jpg", "test/0a1.jpg")
    (tmp_path / "train.csv").write_text("id,breed\n0a1,corgi\n0b2,pug\n")
    assert images(tmp_path / "train.csv") == [("train/0a1.jpg", "corgi"), ("train/0b2.jpg", "pug")]


@pytest.mark.parametrize("name", ["/home/ann/photos/cats/1.jpg", "cats/1.jpg", "C:\\photos\\cats\\1.jpg", "1.jpg"])
def test_images_are_found_by_the_end_of_their_path(name: str, tmp_path: Path) -> None:
    make(tmp_path, "photos/cats/1.jpg")
    (tmp_path / "list.csv").write_text(f"path,label\n{name},cat\n")
    assert images(tmp_path / "list.csv") == [("photos/cats/1.jpg", "cat")]


def test_images_uploaded_to_label_studio_are_found(tmp_path: Path) -> None:
    make(tmp_path, "images/cat.jpg")
    (tmp_path / "a.json").write_text('[{"id": 1, "image": "/data/upload/3/1234abcd-cat.jpg", "choice": "cat"}]')
    assert images(tmp_path / "a.json") == [("images/cat.jpg", "cat")]


@pytest.mark.parametrize("name", ["test/1.jpg", "1.png", "2.jpg"])
def test_other_images_are_not_taken_for_a_missing_one(name: str, tmp_path: Path) -> None:
    make(tmp_path, "train/1.jpg", "a/2.jpg", "b/2.jpg")
    (tmp_path / "list.csv").write_text(f"path,label\n{name},cat\n")
    with pytest.raises(DataError, match=f"1 of the 1 images .* do not exist .* in several of its folders: {name}"):
        labelled_images.read(tmp_path / "list.csv")


def test_files_within_parquet_files_are_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    make(tmp_path, "2.jpg")
    held = [{"bytes": b"1.jpg", "path": "1.jpg"}, {"bytes": None, "path": "2.jpg"}, {"bytes": b"3", "path": None}]
    names = {"label": ["cat", "dog", "cat"], "text": ["one", "two", "three"]}
    parquet.write_table(pyarrow.table({"image": held, "label": names["label"]}), tmp_path / "images.parquet")
    first, second, third = labelled_images.read(tmp_path / "images.parquet")
    assert (first.inputs, first.name, first.expected) == (b"1.jpg", "1.jpg", "cat")
    assert (second.inputs.read(), second.expected) == (b"2.jpg", "dog")
    assert (third.inputs, third.name) == (b"3", "row 3")
    parquet.write_table(pyarrow.table({"audio": held, "text": names["text"]}), tmp_path / "audio.parquet")
    assert [item.expected for item in transcripts.read(tmp_path / "audio.parquet")] == names["text"]


def test_a_folder_is_read_by_its_table(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "a/2.jpg", "b/1.wav")
    (tmp_path / "a/metadata.jsonl").write_text(
        '{"file_name": "1.jpg", "label": 0}\n{"file_name": "2.jpg", "label": 1}\n'
    )
    assert images(tmp_path / "a") == [("a/1.jpg", "0"), ("a/2.jpg", "1")]
    (tmp_path / "b/metadata.csv").write_text("file_name,transcription\n1.wav,one\n")
    assert [item.expected for item in transcripts.read(tmp_path / "b")] == ["one"]


def test_folders_of_parts_are_no_labels(tmp_path: Path) -> None:
    make(tmp_path, "train/cat/1.jpg", "train/dog/2.jpg", "test/3.jpg", "train.csv")
    assert [item.expected for item in labelled_images.read(tmp_path)] == ["", "cat", "dog"]
    make(tmp_path / "flat", "train/1.jpg", "test/3.jpg", "train.csv")
    with pytest.raises(
        DataError, match=r"no images in folders of labels.*Give the table of their labels: .*train\.csv"
    ):
        labelled_images.read(tmp_path / "flat")
