"""Import of Hugging Face folders: `hearth build --from-checkpoint DIR` makes a recipe of one.

Each family has a module here; `FAMILIES` says who reads which `model_type` of config.json.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hearth_build.checkpoints import bert, distilbert, gpt2, llama, marian, sentences
from hearth_build.checkpoints.folder import Checkpoint, read
from hearth_build.recipe import Recipe, RecipeError

FAMILIES: dict[str, Callable[[Checkpoint], Recipe]] = {
    "bert": bert.recipe_of,
    "distilbert": distilbert.recipe_of,
    "gpt2": gpt2.recipe_of,
    "llama": llama.recipe_of,
    "marian": marian.recipe_of,
    "sentence-transformers": sentences.recipe_of,
}
"""By `model_type`; `sentence-transformers` stands for a folder with modules.json, whatever its config.json says."""


def load(folder: Path, name: str | None = None) -> Recipe:
    """A recipe without stages. Raises RecipeError, with what to do, for a folder that cannot be imported."""
    checkpoint = read(folder, name)
    if checkpoint.kind not in FAMILIES:
        raise RecipeError(
            f"{folder}/config.json has model_type {checkpoint.kind!r}; imported are: {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[checkpoint.kind](checkpoint)
