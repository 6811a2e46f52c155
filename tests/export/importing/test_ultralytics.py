from __future__ import annotations

import pytest

from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.ultralytics import Metadata, parse, with_metadata
from hearth_build.recipe import RecipeError

WRITTEN = {"author": "Ultralytics", "task": "detect", "names": "{0: 'cat', 1: 'dog'}", "imgsz": "[480, 640]"}


def test_metadata_are_parsed_as_they_are_written() -> None:
    assert parse(WRITTEN) == Metadata("detect", ("cat", "dog"), (640, 480))
    assert parse(WRITTEN | {"args": "{'nms': True}"}).is_selected
    assert parse(WRITTEN | {"end2end": "True"}).is_selected


@pytest.mark.parametrize("change", [{"author": "Somebody"}, {"task": "unknown"}])
def test_other_tools_have_the_names_of_classes_alone(change: dict[str, str]) -> None:
    assert parse(WRITTEN | change) == Metadata(labels=("cat", "dog"))
    assert parse({"names": "__import__('os')"}) == Metadata()


def test_flags_win_over_the_metadata() -> None:
    notes = Notes()
    options = with_metadata(ImportOptions(resize="stretch"), parse(WRITTEN), notes)
    assert (options.task, options.resize, options.pixels, options.centred) == (
        "object-detection",
        "stretch",
        "unit",
        False,
    )
    assert with_metadata(ImportOptions(), parse(WRITTEN), notes).centred
    assert with_metadata(ImportOptions(), Metadata(), notes) == ImportOptions()


@pytest.mark.parametrize(
    ("task", "rest"), [("segment", "masks are"), ("pose", "key points are"), ("obb", "angles are")]
)
def test_what_is_not_served_is_said(task: str, rest: str) -> None:
    notes = Notes()
    with_metadata(ImportOptions(), Metadata(task), notes)
    assert any(f"the {rest} not" in guess for guess in notes.guesses)


def test_rotated_boxes_that_are_selected_are_refused() -> None:
    with pytest.raises(RecipeError, match="export it without nms"):
        with_metadata(ImportOptions(), Metadata("obb", is_selected=True), Notes())
