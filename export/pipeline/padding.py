"""Whether the answers of a text encoder depend on the padding of a batch, and so on the other texts of a request.

Attention masks padding out, but convolutions over tokens, Fourier transforms and pooled attention read it: ConvBERT,
FNet and Funnel give other scores for a text beside a longer one. The pipelines of transformers run texts one by one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
from msgspec import structs
from tokenizers import Tokenizer

from hearth.models.heads import Mask
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.windows import pad
from hearth_build.onnx_export.export import files
from hearth_build.recipe import Recipe, RecipeError

TEXTS = ("The room was clean.", "The room was clean, the food was good, and somebody answered all of our questions.")
TOLERANCE = 0.001
"""Largest difference that is rounding, relative to the largest output."""
ALONE = ("text-classification", "feature-extraction", "fill-mask")
"""Tasks that answer a request of one text without padding; the others run windows and pairs of several lengths."""


def limit_to_one_text(recipe: Recipe, work: Path) -> Recipe:
    """The recipe, with one text a request if its fp32 graph in `work` depends on padding.

    Raises RecipeError if that does not help, because the task pads within one request.
    """
    is_encoder = isinstance(recipe.preprocessing, TextPreprocessing) and set(recipe.graphs) == {"main"}
    if not is_encoder or not depends_on_padding(recipe, work):
        return recipe
    if recipe.task not in ALONE:
        raise RecipeError(
            f"{recipe.name}: the model's answers depend on padding, and {recipe.task} runs texts of several lengths "
            "together, so they would be wrong. Import it with --task tensors, and run texts of one length."
        )
    return replace(recipe, limits=structs.replace(recipe.limits, batch=1))


def depends_on_padding(recipe: Recipe, work: Path) -> bool:
    """Whether a short text has other outputs beside a long one."""
    preprocessing = recipe.preprocessing
    session = onnxruntime.InferenceSession(str(work / "fp32" / files("main")[0]), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    if not {"input_ids", "attention_mask"} <= set(names) <= {"input_ids", "attention_mask", "token_type_ids"}:
        return False
    assert isinstance(preprocessing, TextPreprocessing)
    tokenizer = Tokenizer.from_file(str(work / preprocessing.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(preprocessing.max_tokens)
    feeds = pad(tokenizer.encode_batch_fast(TEXTS), preprocessing.pad_id, names)
    if isinstance(recipe.head, Mask):
        feeds["input_ids"][:, 2] = recipe.head.token_id
    length = int(feeds["attention_mask"][0].sum())
    alone = session.run(None, {name: array[:1, :length] for name, array in feeds.items()})
    for one, together in zip(alone, session.run(None, feeds), strict=True):
        padded = together[:1] if together[:1].shape == one.shape else together[:1, :length]
        if np.abs(one - padded).max() > TOLERANCE * np.abs(one).max():
            return True
    return False
