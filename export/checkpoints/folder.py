"""A Hugging Face folder, and what every recipe made of one has in common."""

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


@dataclass(frozen=True)
class Checkpoint:
    folder: Path
    config: dict[str, Any]
    """config.json."""
    name: str
    """Of the model that will be made."""
    translate: Callable[[dict[str, Tensor]], dict[str, Tensor]] = lambda weights: weights
    """Names of weights, where a family is read as another."""

    @property
    def kind(self) -> str:
        """The family that reads it, a key of `hearth_build.checkpoints.FAMILIES`."""
        return "sentence-transformers" if (self.folder / "modules.json").is_file() else str(self.config["model_type"])

    @property
    def title(self) -> str:
        return str(self.config.get("_name_or_path") or self.folder.resolve().name)

    @property
    def architecture(self) -> str:
        """The class that was saved, such as BertForMaskedLM. Raises RecipeError."""
        named = self.config.get("architectures")
        if not isinstance(named, list) or len(named) != 1:
            raise RecipeError(
                f"{self.folder}/config.json has architectures {named}; it must name the one class that was saved, "
                "as save_pretrained() of a model with a head writes it."
            )
        return str(named[0])

    @property
    def labels(self) -> tuple[str, ...]:
        """id2label in order. Raises RecipeError."""
        named = self.config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})  # transformers leaves out its default
        if not isinstance(named, dict) or sorted(map(int, named)) != list(range(len(named))):
            raise RecipeError(f"{self.folder}/config.json: id2label must number its labels 0, 1, 2, ...")
        return tuple(str(named[key]) for key in sorted(named, key=int))

    def weights(self) -> dict[str, Tensor]:
        """Every tensor by its name, of one file or of several with an index."""
        from safetensors.torch import load_file

        index = self.folder / INDEX
        if not index.is_file():
            return self.translate(load_file(self.folder / "model.safetensors"))
        parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        loaded = [load_file(self.folder / part) for part in sorted(set(parts))]
        return self.translate({name: value for part in loaded for name, value in part.items()})


def read(folder: Path, name: str | None = None) -> Checkpoint:
    """Raises RecipeError when a file is missing that every family needs."""
    weights = INDEX if (folder / INDEX).is_file() else "model.safetensors"
    # Marian's tokenizer is saved in files of its own.
    tokenizer = ("source.spm", "vocab.json") if (folder / "source.spm").is_file() else ("tokenizer.json",)
    needed = ("config.json", weights, *tokenizer)
    missing = [file for file in needed if not (folder / file).is_file()]
    if missing:
        raise RecipeError(
            f"{folder} has no {', '.join(missing)}. Save model and tokenizer there with save_pretrained(): "
            f"{', '.join(needed)} are needed."
        )
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict) or "model_type" not in config:
        raise RecipeError(f"{folder}/config.json has no model_type; save_pretrained() of transformers writes one.")
    return Checkpoint(folder, config, name or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower()).strip("-._"))


def imported(checkpoint: Checkpoint, **fields: Any) -> Recipe:
    """A recipe of `fields` that trains nothing and measures only that the served graph agrees with torch's."""
    common: dict[str, Any] = {
        "name": checkpoint.name,
        "licence": str(checkpoint.config.get("license", "as the checkpoint's")),
        "labels": (),
        "sources": (),
        "prepare": lambda work: prepare(checkpoint, work),
        "stages": (),
        "dev": {},
        "gate": Gate(metric=0.0, quantization_loss=1.0, bytes=20_000_000_000),
        "parents": (checkpoint.title,),
        "limitations": ("Imported: only the agreement of torch model and served graph was measured.",),
    }
    return Recipe(**common | fields)


def prepare(checkpoint: Checkpoint, work: Path) -> None:
    """The tokenizer alone is copied; the rest is read where it lies."""
    shutil.copyfile(checkpoint.folder / "tokenizer.json", work / "tokenizer.json")
