"""What the importers of image models share: the graphs, labels and head of a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tokenizers import Tokenizer

from hearth.models.heads import Detector, Head
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.labels import read_names
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

if TYPE_CHECKING:
    from torch import nn

THRESHOLD = 0.5
"""Smallest score of a box, as in transformers' pipeline."""
SOFTMAX_DETECTORS = ("detr", "yolos", "table-transformer")
"""Detectors whose last class is `no object`; others of the family have a sigmoid for each class."""
Graphs: TypeAlias = "dict[str, Callable[[nn.Module | None, Path], None]]"


@dataclass(frozen=True)
class Parts:
    """What distinguishes the tasks."""

    graphs: Graphs
    labels: tuple[str, ...]
    head: Head | None = None
    activation: str = "softmax"
    networks: dict[str, nn.Module] = field(default_factory=dict)
    """The networks of the graphs by role, from safetensors; empty if the folder holds ONNX."""


def activation_of(source: Source) -> str:
    return "sigmoid" if source.config.get("problem_type") == "multi_label_classification" else "softmax"


def is_softmax(source: Source) -> bool:
    return source.model_type in SOFTMAX_DETECTORS


def detector_head(source: Source) -> Detector:
    """Boxes of DETR's family do not compete."""
    return Detector(form="boxes", threshold=THRESHOLD, iou=1.0, normalised=True, multi_label=not is_softmax(source))


def labels_of(source: Source, options: ImportOptions) -> tuple[str, ...]:
    """The labels of --labels, of timm's configuration, or of id2label. Raises RecipeError and DataError."""
    if options.labels is not None:
        return tuple(read_names(str(options.labels)))
    if names := source.config.get("label_names"):
        descriptions = source.config.get("label_descriptions") or {}
        return tuple(str(descriptions.get(name, name)) for name in names)
    if "pretrained_cfg" in source.config:
        return tuple(map(str, range(source.config.get("num_classes") or 0)))
    return source.labels


def text_fields(source: Source) -> tuple[dict[str, Any], str]:
    """The fields of the head that say how texts are read, and the activation of the scores. Raises RecipeError."""
    is_siglip = source.model_type.startswith("siglip")
    text_config = source.config.get("text_config") or {}
    length = int(text_config.get("max_position_embeddings") or (64 if is_siglip else 77))
    if not (source.folder / "tokenizer.json").is_file():
        raise RecipeError(f"{source.folder} has no tokenizer.json. Save the tokenizer there with save_pretrained().")
    fields: dict[str, Any] = {
        "tokenizer": "tokenizer.json",
        "max_tokens": length,
        "pad_id": pad_token(source, text_config),
        "fixed_length": is_siglip,
    }
    return fields, "sigmoid" if is_siglip else "softmax"


def pad_token(source: Source, text_config: dict[str, Any]) -> int:
    """The id of the padding token of the tokenizer, or of the text model."""
    settings = source.read_json("tokenizer_config.json").get("pad_token")
    name = settings.get("content") if isinstance(settings, dict) else settings
    number = Tokenizer.from_file(str(source.folder / "tokenizer.json")).token_to_id(name) if name else None
    return int(number if number is not None else text_config.get("pad_token_id") or 0)
