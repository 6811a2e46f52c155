"""Reads how pictures were prepared in training from the file beside a graph: `preprocessor_config.json` of Hugging Face
image processors, or timm's `config.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hearth_build.data.datasets import DataError
from hearth_build.importing.base import ImportOptions, Notes

NAMES = ("preprocessor_config.json", "config.json")
FILTERS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of filters."""
CONVNEXT_SIZE = 384
"""ConvNeXt's processor crops smaller pictures only."""


def with_preprocessor_config(graph: Path, options: ImportOptions, notes: Notes) -> ImportOptions:
    """The flags, with those that are not given taken from a file beside the graph or in the folder above. Raises
    DataError for a file that is not JSON."""
    for folder in (graph.parent, graph.parent.parent):
        for name in NAMES:
            if not (folder / name).is_file():
                continue
            values = _read(folder / name)
            chosen = {key: value for key, value in values.items() if getattr(options, key) is None}
            if options.pixels is not None:  # replaced as a whole
                chosen = {key: value for key, value in chosen.items() if key not in ("mean", "std")}
            if "resize" not in chosen:
                chosen.pop("shortest_edge", None)
            if chosen:
                settings = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in chosen.items())
                notes.guesses.append(f"from {name}: {settings} (the flags of these names)")
                return replace(options, **chosen)
    return options


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}.") from None
    if not isinstance(config, dict):
        return {}
    if isinstance(config.get("pretrained_cfg"), dict):
        return _timm(config["pretrained_cfg"])
    return _hugging_face(config) if "image_mean" in config or "image_processor_type" in config else {}


def _timm(config: Mapping[str, Any]) -> dict[str, Any]:
    _, height, width = config.get("input_size", (3, 224, 224))
    values: dict[str, Any] = {"channels": "RGB", "size": (width, height)}
    if "mean" in config and "std" in config:
        values |= {"mean": tuple(config["mean"]), "std": tuple(config["std"])}
    if config.get("interpolation") in FILTERS.values():
        values["resample"] = config["interpolation"]
    ratio = float(config.get("crop_pct") or 0.875)
    if config.get("crop_mode", "center") == "center" and width == height:
        values |= {"resize": "shortest-edge-center-crop", "shortest_edge": math.floor(width / ratio)}
    elif config.get("crop_mode") == "squash" and ratio == 1:
        values["resize"] = "stretch"
    return values


def _hugging_face(config: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {"channels": "RGB"}
    if config.get("do_rescale", True) and math.isclose(config.get("rescale_factor", 1 / 255), 1 / 255, rel_tol=1e-3):
        if not config.get("do_normalize", True):
            values |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
        elif "image_mean" in config and "image_std" in config:
            values |= {"mean": tuple(config["image_mean"]), "std": tuple(config["image_std"])}
    if config.get("resample") in FILTERS:
        values["resample"] = FILTERS[config["resample"]]
    return values | _hugging_face_size(config)


def _hugging_face_size(config: Mapping[str, Any]) -> dict[str, Any]:
    """Resizing to a size, or to a shortest edge and then a crop; empty for what is neither."""
    size, crop = (_sides(config.get(key)) for key in ("size", "crop_size"))
    edge = config.get("size", {}).get("shortest_edge") if isinstance(config.get("size"), dict) else None
    if edge and config.get("crop_pct"):
        if edge >= CONVNEXT_SIZE:
            return {"size": (edge, edge), "resize": "stretch"}
        crop_edge = int(edge / config["crop_pct"])
        return {"size": (edge, edge), "resize": "shortest-edge-center-crop", "shortest_edge": crop_edge}
    if not config.get("do_center_crop", False):
        return {"size": size, "resize": "stretch"} if size else {}
    if edge and crop and edge >= max(crop):
        return {"size": crop, "resize": "shortest-edge-center-crop", "shortest_edge": edge}
    return {"size": crop, "resize": "stretch"} if crop and crop == size else {}


def _sides(value: Any) -> tuple[int, int] | None:
    """Width and height; a number is both."""
    if isinstance(value, int):
        return value, value
    if isinstance(value, dict) and {"height", "width"} <= value.keys():
        return value["width"], value["height"]
    return None
