"""How pictures are prepared, read from the files that Hugging Face and timm put beside a graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.image_graphs import preprocessing_of
from hearth_build.importing.preprocessor_config import with_preprocessor_config
from hearth_build.recipe import RecipeError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATION = {"image_mean": MEAN, "image_std": STD, "do_normalize": True, "rescale_factor": 1 / 255}
SQUARE = {"height": 224, "width": 224}
CROP = {"resize": "shortest-edge-center-crop", "shortest_edge": 256, "size": (224, 224)}
CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ResNet": (
        NORMALISATION | {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": SQUARE, "resample": 3},
        CROP | {"resample": "bicubic", "mean": MEAN, "std": STD, "channels": "RGB"},
    ),
    "ViT": (NORMALISATION | {"size": SQUARE, "resample": 2}, {"resize": "stretch", "resample": "bilinear"}),
    "ViT of old": (NORMALISATION | {"size": 224, "resample": 2}, {"resize": "stretch", "size": (224, 224)}),
    "ConvNeXt": (NORMALISATION | {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}, CROP),
    "large ConvNeXt": (NORMALISATION | {"size": {"shortest_edge": 384}, "crop_pct": 0.875}, {"resize": "stretch"}),
    "not normalised": (
        NORMALISATION | {"size": SQUARE, "do_normalize": False},
        {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    ),
    "scaled otherwise": (NORMALISATION | {"size": SQUARE, "rescale_factor": 1 / 127.5}, {"mean": None, "std": None}),
    "cropped from a square": (
        NORMALISATION | {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": SQUARE},
        {"resize": None, "shortest_edge": None},
    ),
    "timm": (
        {
            "pretrained_cfg": {
                "input_size": [3, 224, 224],
                "interpolation": "bicubic",
                "crop_pct": 0.95,
                "crop_mode": "center",
                "mean": MEAN,
                "std": STD,
            }
        },
        {"resize": "shortest-edge-center-crop", "shortest_edge": 235, "resample": "bicubic", "mean": MEAN},
    ),
    "a language model": ({"model_type": "bert", "hidden_size": 312}, {"resize": None, "channels": None}),
}


def read(
    folder: Path, config: dict[str, Any], options: ImportOptions, name: str = "preprocessor_config.json"
) -> ImportOptions:
    (folder / name).write_text(json.dumps(config))
    return with_preprocessor_config(folder / "model.onnx", options, Notes())


@pytest.mark.parametrize(("config", "expected"), CONFIGS.values(), ids=CONFIGS)
def test_the_file_beside_the_graph_fills_in_flags(
    tmp_path: Path, config: dict[str, Any], expected: dict[str, Any]
) -> None:
    name = "config.json" if "pretrained_cfg" in config or "model_type" in config else "preprocessor_config.json"
    flags = read(tmp_path, config, ImportOptions(task="image-classification"), name)
    assert {key: getattr(flags, key) for key in expected} == expected


def test_the_file_in_the_folder_above_is_read(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CONFIGS["ResNet"][0]))
    notes = Notes()
    flags = with_preprocessor_config(tmp_path / "onnx/model.onnx", ImportOptions(task="image-classification"), notes)
    assert flags.shortest_edge == 256
    assert "shortest-edge 256" in notes.guesses[0]


def test_flags_win(tmp_path: Path) -> None:
    given = ImportOptions(task="image-classification", resize="stretch", pixels="unit", channels="BGR")
    flags = read(tmp_path, CONFIGS["ResNet"][0], given)
    assert (flags.resize, flags.channels, flags.pixels) == ("stretch", "BGR", "unit")
    assert (flags.mean, flags.shortest_edge, flags.resample) == (None, None, "bicubic")


def test_the_preprocessing_has_edge_and_filter(tmp_path: Path) -> None:
    flags = read(tmp_path, CONFIGS["ResNet"][0], ImportOptions(task="image-classification"))
    preprocessing = preprocessing_of((224, 224), flags, Notes())
    assert preprocessing is not None
    assert (preprocessing.before_crop, preprocessing.resample, preprocessing.mean) == ((256,), "bicubic", MEAN)


@pytest.mark.parametrize(
    ("resize", "edge", "message"),
    [("stretch", 256, "needs --resize"), ("shortest-edge-center-crop", 200, "smaller than the crop")],
)
def test_an_edge_that_does_not_fit_is_refused(resize: Any, edge: int, message: str) -> None:
    flags = ImportOptions(task="image-classification", pixels="unit", channels="RGB", resize=resize, shortest_edge=edge)
    with pytest.raises(RecipeError, match=message):
        preprocessing_of((224, 224), flags, Notes())


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(DataError, match=r"preprocessor_config\.json is not JSON"):
        with_preprocessor_config(tmp_path / "model.onnx", ImportOptions(task="image-classification"), Notes())
