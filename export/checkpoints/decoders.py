"""What recipes of all decoder-only checkpoints have in common."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.checkpoints.folder import Checkpoint, checkpoint_recipe
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import DynamicInt8, Recipe, RecipeError

TEXTS = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
    "The capital of France is",
    "def add(a, b):\n    return a + b\n\n\ndef subtract(a, b):\n",
)
"""Golden inputs: an import has no dev set, so the torch model and the served graph are compared on these."""
CHAT_TEMPLATE = "chat_template.jinja"
CHARACTERS_PER_TOKEN = 20
"""Upper bound for real texts. It limits the characters of a prompt."""


def decoder_recipe(
    checkpoint: Checkpoint, shape: Shape, rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Recipe:
    config = generation_config(checkpoint)
    eos, bos, template = config.get("eos_token_id"), config.get("bos_token_id"), chat_template(checkpoint)
    if eos is None:
        eos_ids: tuple[int, ...] = ()
    else:
        eos_ids = tuple(eos) if isinstance(eos, list) else (eos,)
    tokenizer = Tokenizer.from_file(str(checkpoint.folder / "tokenizer.json"))
    largest_id = max(tokenizer.get_vocab().values())
    if largest_id >= shape.vocabulary:
        raise RecipeError(
            f"{checkpoint.folder}/tokenizer.json has token ids up to {largest_id}, but vocab_size in config.json is "
            f"{shape.vocabulary}; the two files do not belong to the same model."
        )
    return checkpoint_recipe(
        checkpoint,
        task="text-generation",
        description=f"A decoder, imported: {checkpoint.title}.",
        network=lambda work: load_network(checkpoint, shape, rename_weights),
        reference_model=DecoderReference,
        graphs={"main": decoder_graph.write},
        golden=lambda: [text for text in TEXTS if len(tokenizer.encode(text).ids) < shape.context - 1],
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=shape.context),
        quantization=DynamicInt8(),
        head=decoder_graph.head(shape, eos_ids, bos, CHAT_TEMPLATE if template else None),
        resources={CHAT_TEMPLATE: lambda work: template.encode()} if template else {},
        limits=Limits(batch=1, characters=CHARACTERS_PER_TOKEN * shape.context),
    )


def load_network(
    checkpoint: Checkpoint, shape: Shape, rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Decoder:
    network = Decoder(shape)
    try:
        network.load_state_dict(rename_weights(checkpoint.weights()))
    except RuntimeError as error:
        raise RecipeError(f"{checkpoint.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def generation_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return config.json overridden by generation_config.json, which has the ids of the special tokens."""
    return checkpoint.config | read_json(checkpoint, "generation_config.json")


def chat_template(checkpoint: Checkpoint) -> str | None:
    """Return the chat template from its own file or from the tokenizer's configuration."""
    path = checkpoint.folder / CHAT_TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = read_json(checkpoint, "tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named templates
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template


def read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """Return the content of a file of the folder, or nothing when it does not exist."""
    path = checkpoint.folder / name
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content
