"""Models of transformers, loaded from a folder of safetensors with all of their weights."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
import transformers

from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

NOT_READ = ("position_ids", "num_batches_tracked", "masked_spec_embed")
"""Ends of the names of weights that some folders lack: the first are computed, and only a training reads the others."""
POOLER = ("pooler.dense.weight", "pooler.dense.bias")
"""Of the layer behind the first token, which a model whose tokens are read does not use."""


def load_model(source: Source, name: str = "", *, unread: Sequence[str] = ()) -> Any:
    """The model of the class `name`, by default the folder's own, in float32 and in evaluation mode.

    `unread`: ends of the names of further weights that may be missing. Raises RecipeError for a class that transformers
    does not have, and for weights that do not fit it.
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    name = name or source.architecture
    model_class = getattr(transformers, name, None)
    if model_class is None or ("auto_map" in source.config and source.config["model_type"] not in known_types()):
        raise RecipeError(
            f"{source.path} has a {name}, which transformers {transformers.__version__} does not have: the model "
            "brings code of its own, which an import does not run. Export it to ONNX where it is trusted, and import "
            "the .onnx file."
        )
    try:
        model, info = model_class.from_pretrained(
            source.folder,
            dtype=torch.float32,
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise RecipeError(f"{source.path} does not fit config.json: {str(error)[:400]}") from None
    missing = sorted(key for key in info["missing_keys"] if not key.endswith((*NOT_READ, *unread)))
    if missing or info.get("mismatched_keys"):
        names = ", ".join([*missing, *(str(key) for key in info.get("mismatched_keys") or ())][:5])
        raise RecipeError(
            f"{source.path} does not fit config.json: a {name} needs {names}, which the safetensors do not have in "
            "that shape. Save the model again with save_pretrained()."
        )
    model.config.use_cache = False
    return model.eval()


def known_types() -> Collection[str]:
    return transformers.CONFIG_MAPPING.keys()
