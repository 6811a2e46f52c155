"""Folders of MLflow models: the ONNX graph or the transformers model in them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from hearth_build.recipe import RecipeError

FILE = "MLmodel"
"""What makes a folder a model of MLflow."""


def is_mlflow(folder: Path) -> bool:
    return (folder / FILE).is_file()


def locate(folder: Path) -> Path:
    """The ONNX file of a folder's onnx flavour, or a folder with model and tokenizer of its transformers flavour.

    Raises RecipeError with a way on.
    """
    flavours = _flavours(folder)
    if isinstance(flavour := flavours.get("onnx"), dict):
        return _inside(folder, flavour.get("data", "model.onnx"))
    if isinstance(flavour := flavours.get("transformers"), dict):
        return _transformers(folder, flavour)
    listed = ", ".join(sorted(map(str, flavours))) or "no flavour"
    raise RecipeError(
        f"{folder} is a model of MLflow with {listed}; its flavours onnx and transformers are read. "
        + (
            "A scikit-learn model is a pickle, which may run code when it is opened: log it with mlflow.onnx.log_model("
            "skl2onnx.to_onnx(model, X))."
            if "sklearn" in flavours
            else "Log it with mlflow.onnx.log_model() or mlflow.transformers.log_model()."
        )
    )


def _flavours(folder: Path) -> dict[str, Any]:
    """Raises RecipeError."""
    try:
        document = yaml.safe_load((folder / FILE).read_text(encoding="utf-8"))
        flavours = document["flavors"]
        return dict(flavours)
    except (OSError, ValueError, yaml.YAMLError, TypeError, KeyError) as error:
        raise RecipeError(f"{folder / FILE} cannot be read: {type(error).__name__}.") from None


def _inside(folder: Path, name: object) -> Path:
    """A path in the folder. Raises RecipeError if there is none, or if it leads outside."""
    path = folder / str(name)
    if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
        raise RecipeError(f"{folder} has no {name}, which its {FILE} names.")
    return path


def _transformers(folder: Path, flavour: dict[str, Any]) -> Path:
    """The model's folder with the files of the tokenizer or the image processor, which MLflow keeps apart."""
    model = _inside(folder, flavour.get("model_binary", "model"))
    parts = [
        part
        for name in ("tokenizer", "image_processor", "feature_extractor", "processor")
        if (part := folder / "components" / name).is_dir()
    ]
    missing = [file for part in parts for file in part.iterdir() if file.is_file() and not (model / file.name).exists()]
    if not missing:
        return model
    merged = Path(tempfile.mkdtemp(prefix="hearth-mlflow-"))
    for file in (*model.iterdir(), *missing):
        if file.is_file():
            (merged / file.name).symlink_to(file.resolve())
    return merged
