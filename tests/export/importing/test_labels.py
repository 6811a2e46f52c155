from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.importing.labels import read_names


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "\ufeffcat\n dog \n\ncow\n"),
        ("a.json", '["cat", "dog", "cow"]'),
        ("a.json", '{"10": "cow", "0": "cat", "2": "dog"}'),
    ],
)
def test_names_are_read_in_their_order(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_names(str(tmp_path / name)) == ["cat", "dog", "cow"]


def test_names_may_be_given_with_commas() -> None:
    assert read_names("cat, dog,cow") == ["cat", "dog", "cow"]


@pytest.mark.parametrize("content", ["{", "3", '{"cat": 0}'])
def test_other_files_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match="must have one name per line, or be a JSON list"):
        read_names(str(tmp_path / "a.json"))
    with pytest.raises(DataError, match="missing cannot be read"):
        read_names("missing")
