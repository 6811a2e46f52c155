"""A Hugging Face folder, and what all recipes that import one have in common."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hearth_build.recipe import Gate, Recipe, RecipeError

if TYPE_CHECKING:
    from torch import Tensor

INDEX = "model.safetensors.index.json"
WEIGHTS = (".safetensors", ".bin", ".pt", ".h5", ".msgpack", ".onnx", ".ot")
"""Suffixes of files with weights; they are read at each build."""


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
    config: dict[str, Any]
    """config.json."""
    name: str
    """Name of the model that is built."""
    rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda weights: weights
    """Renames weights where one family is imported as another."""

    @property
    def family(self) -> str:
        """A key of `hearth_build.checkpoints.FAMILIES`."""
        return "sentence-transformers" if (self.folder / "modules.json").is_file() else str(self.config["model_type"])

    @property
    def title(self) -> str:
        return str(self.config.get("_name_or_path") or self.folder.resolve().name)

    @property
    def architecture(self) -> str:
        """The class of the saved model, such as BertForMaskedLM. Raises RecipeError."""
        architectures = self.config.get("architectures")
        if not isinstance(architectures, list) or len(architectures) != 1:
            raise RecipeError(
                f"{self.folder}/config.json has architectures {architectures}; it must name exactly one class, "
                "as save_pretrained() of a model with a head writes it."
            )
        return str(architectures[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of id2label in order. Raises RecipeError."""
        id2label = self.config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # transformers omits its default
        if not isinstance(id2label, dict) or sorted(map(int, id2label)) != list(range(len(id2label))):
            raise RecipeError(f"{self.folder}/config.json: id2label must number its labels 0, 1, 2, ...")
        return tuple(str(id2label[key]) for key in sorted(id2label, key=int))

    def weights(self) -> dict[str, Tensor]:
        """Return all tensors by name, from one file or from the shards that an index lists."""
        from safetensors.torch import load_file

        index = self.folder / INDEX
        if not index.is_file():
            return self.rename_weights(load_file(self.folder / "model.safetensors"))
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        weights: dict[str, Tensor] = {}
        for shard in sorted(set(shards)):
            weights |= load_file(self.folder / shard)
        return self.rename_weights(weights)


def read(folder: Path, name: str | None = None) -> Checkpoint:
    """Read the configuration of a folder. Raises RecipeError when a file is missing that every family needs."""
    weights = INDEX if (folder / INDEX).is_file() else "model.safetensors"
    # Marian's tokenizer is saved in files of its own.
    tokenizer = ("source.spm", "vocab.json") if (folder / "source.spm").is_file() else ("tokenizer.json",)
    required = ("config.json", weights, *tokenizer)
    missing = [file for file in required if not (folder / file).is_file()]
    if missing:
        raise RecipeError(
            f"{folder} has no {', '.join(missing)}. Save model and tokenizer there with save_pretrained(); "
            f"required are {', '.join(required)}."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict) or "model_type" not in config:
        raise RecipeError(f"{folder}/config.json has no model_type; save_pretrained() of transformers writes one.")
    return Checkpoint(folder, config, name or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._"))


def checkpoint_recipe(checkpoint: Checkpoint, **fields: Any) -> Recipe:
    """Return a recipe that trains nothing and only checks that the served graph agrees with the torch model."""
    common: dict[str, Any] = {
        "name": checkpoint.name,
        "licence": str(checkpoint.config.get("license", "as the checkpoint's")),
        "labels": (),
        "sources": (),
        "prepare": lambda work: prepare(checkpoint, work),
        "inputs": tuple(
            path for path in sorted(checkpoint.folder.iterdir()) if path.is_file() and path.suffix not in WEIGHTS
        ),
        "stages": (),
        "dev": {},
        "gate": Gate(metric=0.0, quantization_loss=1.0, bytes=20_000_000_000),
        "parents": (checkpoint.title,),
        "limitations": ("Imported: only the agreement of the torch model and the served graph was measured.",),
    }
    return Recipe(**common | fields)


def prepare(checkpoint: Checkpoint, work: Path) -> None:
    """Copy the tokenizer; all other files are read in place."""
    shutil.copyfile(checkpoint.folder / "tokenizer.json", work / "tokenizer.json")
