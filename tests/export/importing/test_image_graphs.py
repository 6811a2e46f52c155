from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hearth.models.manifest import Tensor
from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.image_graphs import (
    classifier_changes,
    detector_changes,
    input_of,
    layout_of,
    noise,
    output_of,
    preprocessing_of,
)
from hearth_build.onnx_export.rewrite import Changes
from hearth_build.recipe import RecipeError

CHANGES = Changes("x", "y", (64, 48))


def pixels(*shape: Any, dtype: Any = "float32") -> Tensor:
    return Tensor(name="x", dtype=dtype, shape=shape)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((1, 3, 48, 64), (False, 3, (64, 48))),
        ((1, 48, 64, 3), (True, 3, (64, 48))),
        ((1, 1, 48, 64), (False, 1, (64, 48))),
        (("n", 3, "h", "w"), (False, 3, (0, 0))),
    ],
)
def test_the_layout_is_that_of_the_shape(shape: Any, layout: Any) -> None:
    assert layout_of(pixels(*shape), ImportOptions(), Notes()) == layout


def test_a_shape_that_may_be_either_asks_for_the_layout() -> None:
    notes = Notes()
    layout_of(pixels(1, 3, 3, 3), ImportOptions(), notes)
    assert notes.missing[0].startswith("--layout NCHW or NHWC")
    assert layout_of(pixels(1, 3, 3, 3), ImportOptions(layout="NHWC"), Notes())[0]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 4, 48, 64), ImportOptions(), "has 4 channels"),
        ((1, 3, 48, 64), ImportOptions(size=(32, 32)), "--size 32x32 does not fit the graph, which takes 64x48"),
    ],
)
def test_what_pictures_do_not_have_is_refused(shape: Any, options: ImportOptions, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        layout_of(pixels(*shape), options, Notes())


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([pixels(1, 3, 8, 8), pixels(1)], "The graph has 2 inputs"),
        ([pixels(1, 8)], r"Input x is float32 \[1, 8\]; images have four dimensions"),
        ([pixels(1, 3, 8, 8, dtype="int64")], "Input x is int64"),
    ],
)
def test_a_graph_must_take_images_alone(inputs: list[Tensor], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        input_of(SimpleNamespace(inputs=inputs))  # type: ignore[arg-type]


def test_missing_flags_of_the_preprocessing_are_all_noted() -> None:
    notes = Notes()
    assert preprocessing_of((64, 48), 3, None, ImportOptions(), notes) is None
    assert [flag.split()[0] for flag in notes.missing] == ["--pixels", "--channels", "--resize"]
    options = ImportOptions(pixels="unit", channels="BGR", resize="stretch")
    made = preprocessing_of((64, 48), 3, None, options, Notes())
    assert made is not None
    assert (made.width, made.height, made.channels, made.scale) == (64, 48, "BGR", 255)
    notes = Notes()
    preprocessing_of((0, 0), 3, None, options, notes)
    assert notes.missing[0].startswith("--size WIDTHxHEIGHT")


def test_the_output_that_fits_the_labels_is_read() -> None:
    outputs = {"a": np.zeros((1, 3)), "b": np.zeros((1, 7)), "c": np.zeros((1, 5, 3))}
    options = ImportOptions(task="image-classification")
    assert output_of(outputs, options, ["x"] * 7) == ("b", (1, 7))
    with pytest.raises(RecipeError, match=r"One output of \(batch, classes\) is needed. Choose it with --output NAME"):
        output_of(outputs, options, ["x"] * 4)
    assert output_of(outputs, ImportOptions(task="image-classification", output="a"), ["x"] * 4)[0] == "a"


def test_labels_must_fit_the_output() -> None:
    assert classifier_changes(CHANGES, "y", (1, 3, 1, 1), 3).flatten
    with pytest.raises(RecipeError, match="Output y has 3 classes, --labels has 2 names"):
        classifier_changes(CHANGES, "y", (1, 3), 2)
    assert detector_changes(CHANGES, "y", (1, 100, 7), 3) == CHANGES
    assert detector_changes(CHANGES, "y", (1, 8, 100), 3).columns_first
    assert detector_changes(CHANGES, "y", (1, 39, 100), 3).columns == 7, "without the coefficients of masks"
    with pytest.raises(RecipeError, match=r"with 3 labels one dimension must be 7 .* or 8"):
        detector_changes(CHANGES, "y", (1, 100, 9), 3)


def test_noise_leaves_the_range_of_probabilities() -> None:
    preprocessing = ImagePreprocessing(8, 6, "stretch", (0.0,) * 3, (1.0,) * 3)
    images = noise(preprocessing)
    assert {image.shape for image in images} == {(1, 3, 6, 8)}
    assert min(image.min() for image in images) < -1
    assert max(image.max() for image in images) > 200
