from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.data.remote import fetch, is_remote
from tests.support.s3 import s3_of_this_process


def test_objects_and_folders_of_objects_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_of_this_process(monkeypatch, ("lake",)) as s3:
        for key in ("sets/reviews.csv", "sets/images/red/1.jpg", "sets/images/.hidden", "sets/images2/other.jpg"):
            s3.put_object(Bucket="lake", Key=key, Body=key.encode())
        file = fetch("s3://lake/sets/reviews.csv", tmp_path / "a")
        assert file.read_bytes() == b"sets/reviews.csv"
        folder = fetch("s3://lake/sets/images/", tmp_path / "b")
        assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == ["red/1.jpg"]
        with pytest.raises(DataError, match="There is nothing at s3://lake/sets/none"):
            fetch("s3://lake/sets/none", tmp_path / "c")
        with pytest.raises(DataError, match="cannot be read"):
            fetch("s3://missing/sets/none", tmp_path / "c")
    with pytest.raises(DataError, match="whole bucket"):
        fetch("s3://lake", tmp_path / "d")
    assert not is_remote("data/s3.csv")
