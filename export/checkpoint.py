"""Import of a Hugging Face BERT classifier: `hearth build --from-checkpoint DIR` makes a recipe of its folder."""

from __future__ import annotations

import json
import re
import shutil
from functools import partial
from pathlib import Path

import torch
from torch import nn

from export.bert import Classifier, read_shape, read_weights
from export.graph import traced
from export.recipe import DynamicInt8, Gate, Recipe, RecipeError
from hearth.manifest import Limits, TextPreprocessing

FILES = ("config.json", "model.safetensors", "tokenizer.json")
TEXTS = (
    "A wonderful film, I loved every minute of it.",
    "The room was dirty and nobody answered our calls.",
    "Can you tell me when the next train leaves?",
    "我非常喜欢这个电影",
    "The parcel came two days late, but the shop was kind about it and paid the postage back at once.",
)
"""What torch and served graph are compared on: there is no dev set."""


def recipe_of(folder: Path, name: str | None = None) -> Recipe:
    """A recipe without stages. Raises RecipeError for a folder that is not a BERT classifier."""
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise RecipeError(
            f"{folder} has no {', '.join(missing)}. Save model and tokenizer there with save_pretrained(): "
            f"{', '.join(FILES)} are needed."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = labels_of(folder, config)
    try:
        shape = read_shape(folder, len(labels))
    except (ValueError, KeyError) as error:
        raise RecipeError(f"This checkpoint cannot be imported: {error}") from None
    name = name or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._")
    return Recipe(
        name=name,
        task="text-classification",
        description=f"A BERT classifier, imported: {config.get('_name_or_path') or folder.resolve().name}.",
        licence=str(config.get("license", "as the checkpoint's")),
        labels=labels,
        sources=(),
        prepare=partial(prepare, folder),
        stages=(),
        network=lambda work: load(folder),
        graphs={
            "main": traced(
                lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
                {key: {0: "batch", 1: "sequence"} for key in ("input_ids", "attention_mask")},
            )
        },
        dev={},
        golden=lambda: TEXTS,
        preprocessing=TextPreprocessing(
            tokenizer="tokenizer.json", max_tokens=shape.positions, pad_id=config.get("pad_token_id", 0)
        ),
        quantization=DynamicInt8(),
        gate=Gate(metric=0.0, quantization_loss=1.0, bytes=2_000_000_000),
        limits=Limits(batch=64, characters=20_000),
        parents=(f"{config.get('_name_or_path') or folder.resolve().name}",),
        limitations=("Imported: only the agreement of torch model and served graph was measured.",),
    )


def labels_of(folder: Path, config: dict[str, object]) -> tuple[str, ...]:
    architectures = config.get("architectures")
    if architectures != ["BertForSequenceClassification"]:
        raise RecipeError(
            f"{folder}/config.json is of {architectures}; only BertForSequenceClassification is imported."
        )
    named = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # transformers leaves out its default
    if not isinstance(named, dict) or sorted(map(int, named)) != list(range(len(named))):
        raise RecipeError(f"{folder}/config.json: id2label must number its labels 0, 1, 2, ...")
    return tuple(str(named[key]) for key in sorted(named, key=int))


def prepare(folder: Path, work: Path) -> None:
    """The tokenizer alone is copied; the rest is read where it lies."""
    shutil.copyfile(folder / "tokenizer.json", work / "tokenizer.json")


def load(folder: Path) -> nn.Module:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network = Classifier(read_shape(folder, len(labels_of(folder, config))))
    try:
        network.load_state_dict(read_weights(folder))
    except RuntimeError as error:
        raise RecipeError(f"{folder}/model.safetensors does not fit config.json: {error}") from None
    return network
