"""stories260k: a Llama-style model of 260,000 parameters that tells children's stories, imported from llama2.c."""

from __future__ import annotations

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_architecture import architecture_of
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import DynamicInt8, Gate, Recipe
from hearth_build.recipes.stories260k import data

RECIPE = Recipe(
    name="stories260k",
    task="text-generation",
    description="Tells simple children's stories.",
    licence="MIT",
    labels=(),
    sources=(data.WEIGHTS, data.TOKENIZER),
    prepare=data.prepare,
    stages=(),
    network=data.network,
    reference_model=DecoderReference,
    graphs={"main": decoder_graph.write},
    dev={},
    golden=lambda: (
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
        "Tom had a big red ball. One day",
        "The dog",
    ),
    head=decoder_graph.head(architecture_of(data.SHAPE), eos=(1, 2), bos=1),
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=data.SHAPE.context),
    # 4-bit blocks change the golden answers by 0.8 instead of 0.2: so small a model has no redundant weights.
    quantization=DynamicInt8(),
    gate=Gate(metric=0.0, quantization_loss=1.0, bytes=1_000_000, difference=0.3),
    limits=Limits(batch=1, characters=10_000),
    parents=("stories260K of karpathy/tinyllamas (MIT), trained on TinyStories by llama2.c",),
    reference="The fp32 graph generates the same tokens as llama2.c.",
    limitations=(
        "It has the vocabulary of a four-year-old, and its stories soon become incoherent.",
        "Its quality was not measured: no held-out text of TinyStories is available.",
    ),
)
