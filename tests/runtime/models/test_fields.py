"""The types of a manifest's fields: what is a file name, and that an unknown field is an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from hearth.models.fields import FilePath, Index, Positive, Strict


class Part(Strict, frozen=True):
    path: FilePath
    count: Positive = 1
    place: Index = 0


@pytest.mark.parametrize("path", ["model.onnx", "a", "A_1-b.c", "x" * 128])
def test_a_file_name_is_accepted(path: str) -> None:
    assert msgspec.convert({"path": path}, Part) == Part(path)


@pytest.mark.parametrize("path", ["", ".hidden", "..", "a/b", "a\\b", "ä", "a b", "x" * 129])
def test_a_path_that_could_leave_the_folder_is_refused(path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"`\$\.path`"):
        msgspec.convert({"path": path}, Part)


@pytest.mark.parametrize("change", [{"count": 0}, {"place": -1}, {"count": 1.5}, {"other": 1}])
def test_numbers_have_their_range_and_unknown_fields_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"path": "a", **change}, Part)


def test_defaults_are_left_out_of_the_document() -> None:
    assert msgspec.json.encode(Part("a")) == b'{"path":"a"}'
    assert msgspec.json.encode(Part("a", count=2)) == b'{"path":"a","count":2}'
