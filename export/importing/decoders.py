"""What recipes of all decoder-only checkpoints have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import Recipe, RecipeError

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
    source: Source,
    options: ImportOptions,
    shape: Shape,
    rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> Recipe:
    config = generation_config(source)
    eos, bos, template = config.get("eos_token_id"), config.get("bos_token_id"), chat_template(source)
    if eos is None:
        eos_ids: tuple[int, ...] = ()
    else:
        eos_ids = tuple(eos) if isinstance(eos, list) else (eos,)
    tokenizer = Tokenizer.from_file(str(source.folder / "tokenizer.json"))
    largest_id = max(tokenizer.get_vocab().values())
    if largest_id >= shape.vocabulary:
        raise RecipeError(
            f"{source.folder}/tokenizer.json has token ids up to {largest_id}, but vocab_size in config.json is "
            f"{shape.vocabulary}; the two files do not belong to the same model."
        )
    return import_recipe(
        source,
        options,
        task="text-generation",
        description=f"A decoder, imported: {source.title}.",
        network=lambda work: load_network(source, shape, rename_weights),
        reference_model=DecoderReference,
        graphs={"main": decoder_graph.write},
        golden=lambda: [text for text in TEXTS if len(tokenizer.encode(text).ids) < shape.context - 1],
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=shape.context),
        head=decoder_graph.head(shape, eos_ids, bos, CHAT_TEMPLATE if template else None),
        resources={CHAT_TEMPLATE: lambda work: template.encode()} if template else {},
        limits=Limits(batch=1, characters=CHARACTERS_PER_TOKEN * shape.context),
    )


def load_network(
    source: Source, shape: Shape, rename_weights: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> Decoder:
    network = Decoder(shape)
    try:
        network.load_state_dict(rename_weights(source.load_weights()))
    except RuntimeError as error:
        raise RecipeError(f"{source.folder}/model.safetensors does not fit config.json: {error}") from None
    return network


def generation_config(source: Source) -> dict[str, Any]:
    """Return config.json overridden by generation_config.json, which has the ids of the special tokens."""
    return source.config | source.read_json("generation_config.json")


def chat_template(source: Source) -> str | None:
    """Return the chat template from its own file or from the tokenizer's configuration."""
    path = source.folder / CHAT_TEMPLATE
    if path.is_file():
        return path.read_text(encoding="utf-8")
    template = source.read_json("tokenizer_config.json").get("chat_template")
    if isinstance(template, list):  # several named templates
        template = {entry["name"]: entry["template"] for entry in template}.get("default")
    return template
