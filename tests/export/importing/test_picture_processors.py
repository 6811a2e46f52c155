"""How pictures are prepared, read from the files that Hugging Face and timm put beside a graph, and flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth.models.preprocessing import ImagePreprocessing
from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.importing.image_graphs import preprocessing_of
from hearth_build.importing.picture_processors import beside, with_flags
from hearth_build.recipe import RecipeError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATION = {"image_mean": MEAN, "image_std": STD, "do_normalize": True, "rescale_factor": 1 / 255}
SQUARE = {"height": 224, "width": 224}
CROP = {"resize": "shortest-edge-center-crop", "before_crop": (256,), "width": 224, "height": 224}
CONFIGS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "ResNet": (
        NORMALISATION | {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": SQUARE, "resample": 3},
        CROP | {"resample": "bicubic", "mean": MEAN, "std": STD, "channels": "RGB"},
    ),
    "ViT": (NORMALISATION | {"size": SQUARE, "resample": 2}, {"resize": "stretch", "resample": "bilinear"}),
    "ViT of old": (
        NORMALISATION | {"size": 224, "resample": 2, "feature_extractor_type": "ViTFeatureExtractor"},
        {"resize": "stretch", "width": 224, "mean": MEAN},
    ),
    "without a class": (NORMALISATION | {"size": 200}, {"resize": "stretch", "width": 200}),
    "ConvNeXt": (NORMALISATION | {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3}, CROP),
    "large ConvNeXt": (NORMALISATION | {"size": {"shortest_edge": 384}, "crop_pct": 0.875}, {"resize": "stretch"}),
    "not normalised": (
        NORMALISATION | {"size": SQUARE, "do_normalize": False},
        {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    ),
    "scaled otherwise": (NORMALISATION | {"size": SQUARE, "rescale_factor": 1 / 127.5}, {"scale": 127.5}),
    "cropped from a square": (
        NORMALISATION | {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": SQUARE},
        {"resize": "stretch", "before_crop": (256, 256), "width": 224},
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
        CROP | {"before_crop": (235,), "resample": "bicubic", "mean": MEAN},
    ),
    "a language model": ({"model_type": "bert", "hidden_size": 312}, None),
}
GIVEN = ImagePreprocessing(224, 224, "shortest-edge-center-crop", MEAN, STD, before_crop=(256,), resample="bicubic")


def write(folder: Path, config: dict[str, Any]) -> None:
    name = "config.json" if "pretrained_cfg" in config or "model_type" in config else "preprocessor_config.json"
    (folder / name).write_text(json.dumps(config))


@pytest.mark.parametrize(("config", "expected"), CONFIGS.values(), ids=CONFIGS)
def test_the_file_beside_the_graph_is_read(
    tmp_path: Path, config: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    write(tmp_path, config)
    found = beside(tmp_path / "model.onnx")
    if expected is None:
        assert found is None
        return
    assert found is not None
    actual = {key: getattr(found[0], key) for key in expected}
    assert actual.pop("scale", 0) == pytest.approx(expected.get("scale", 0))
    assert actual == {key: value for key, value in expected.items() if key != "scale"}


def test_the_file_in_the_folder_above_is_read(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    write(tmp_path, CONFIGS["ResNet"][0])
    found = beside(tmp_path / "onnx/model.onnx")
    assert found is not None
    assert (found[0].before_crop, found[1]) == ((256,), "preprocessor_config.json")


def test_flags_win() -> None:
    flags = ImportOptions(resize="stretch", pixels="unit", channels="BGR")
    changed = with_flags(GIVEN, flags)
    assert (changed.resize, changed.before_crop, changed.channels) == ("stretch", (), "BGR")
    assert (changed.mean, changed.std, changed.resample) == ((0.0,) * 3, (1.0,) * 3, "bicubic")
    letterbox = with_flags(GIVEN, ImportOptions(resize="letterbox", fill=0, centred=True))
    assert (letterbox.fill, letterbox.centred, letterbox.mean) == (0, True, MEAN)


def test_the_size_of_the_graph_wins_and_a_grey_graph_has_one_channel() -> None:
    notes = Notes()
    large = preprocessing_of((192, 160), 3, GIVEN, ImportOptions(), notes)
    assert large is not None
    assert (large.width, large.height, large.before_crop) == (192, 160, (256,))
    grey = preprocessing_of((28, 28), 1, None, ImportOptions(pixels="imagenet", resize="stretch"), notes)
    assert grey is not None
    assert (grey.channels, grey.mean, notes.missing) == ("L", (0.485,), [])


@pytest.mark.parametrize(
    ("resize", "edge", "message"),
    [("stretch", 256, "needs --resize"), ("shortest-edge-center-crop", 200, "smaller than the crop")],
)
def test_an_edge_that_does_not_fit_is_refused(resize: Any, edge: int, message: str) -> None:
    flags = ImportOptions(task="image-classification", pixels="unit", channels="RGB", resize=resize, shortest_edge=edge)
    with pytest.raises(RecipeError, match=message):
        preprocessing_of((224, 224), 3, None, flags, Notes())


def test_a_file_that_is_not_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(RecipeError, match=r"preprocessor_config\.json cannot be read"):
        beside(tmp_path / "model.onnx")
