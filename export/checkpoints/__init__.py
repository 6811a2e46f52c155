"""Import of Hugging Face folders: `hearth build --from-checkpoint DIR` turns one into a recipe.

Each model family has a module here; `FAMILIES` maps the `model_type` of config.json to it.
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
"""By `model_type`; a folder with modules.json is `sentence-transformers`, whatever its config.json says."""


def load(folder: Path, name: str | None = None) -> Recipe:
    """Return a recipe without training stages. Raises RecipeError with advice when the folder cannot be imported."""
    checkpoint = read(folder, name)
    if checkpoint.family not in FAMILIES:
        raise RecipeError(
            f"{folder}/config.json has the unsupported model_type {checkpoint.family!r}; "
            f"supported are: {', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[checkpoint.family](checkpoint)
