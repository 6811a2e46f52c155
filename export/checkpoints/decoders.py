"""What recipes of decoder-only checkpoints have in common, whatever their shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.checkpoints.folder import Checkpoint, imported
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_reference import Twin
from hearth_build.recipe import DynamicInt8, Recipe, RecipeError

TEXTS = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
    "The capital of France is",
    "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n",
)
"""What torch and served graph are compared on: there is no dev set."""
TEMPLATE = "chat_template.jinja"
CHARACTERS_A_TOKEN = 20
"""More than any text has; so much of a prompt is looked at."""


def decoder_recipe(
    checkpoint: Checkpoint, shape: Shape, renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Recipe:
    config = generation_of(checkpoint)
    eos, bos, template = config.get("eos_token_id"), config.get("bos_token_id"), template_of(checkpoint)
    ends = tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    most = max(tokenizer.get_vocab().values())
    if most >= shape.vocabulary:
        raise RecipeError(
            f"{checkpoint.folder}/tokenizer.json numbers its tokens up to {most}, but config.json's vocab_size is "
            f"{shape.vocabulary}; they are not of the same model."
        )
    return imported(
        checkpoint,
        task="text-generation",
        description=f"A decoder, imported: {checkpoint.title}.",
        network=lambda work: loaded(checkpoint, shape, renamed),
        reference_model=Twin,
        graphs={"main": decoder_graph.write},
        golden=lambda: [text for text in TEXTS if len(tokenizer.encode(text).ids) < shape.context - 1],
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=shape.context),
        quantization=DynamicInt8(),
        head=decoder_graph.head(shape, ends, bos, TEMPLATE if template else None),
        resources={TEMPLATE: lambda work: template.encode()} if template else {},
        limits=Limits(batch=1, characters=CHARACTERS_A_TOKEN * shape.context),
    )


def loaded(checkpoint: Checkpoint, shape: Shape, renamed: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Decoder:
    network = Decoder(shape)
    try:
        network.load_state_dict(renamed(checkpoint.weights()))
    except RuntimeError as error:
        raise RecipeError(f"{checkpoint.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def generation_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """config.json with generation_config.json over it: which tokens begin and end a text."""
    return checkpoint.config | read_json(checkpoint, "generation_config.json")


def template_of(checkpoint: Checkpoint) -> str | None:
    """The chat template: a file of its own, or in the tokenizer's configuration."""
    path = checkpoint.folder / TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    named = read_json(checkpoint, "tokenizer_config.json").get("chat_template")
    if isinstance(named, list):  # several, by name
        named = {entry["name"]: entry["template"] for entry in named}.get("default")
    return named


def read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    path = checkpoint.folder / name
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found
