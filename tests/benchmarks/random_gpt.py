"""A decoder of GPT-2's architecture with random int8 weights: its speed and size are real, its outputs are not."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models

from hearth.models.preprocessing import TextPreprocessing
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_architecture import architecture_of
from hearth_build.onnx_export.export import describe, optimise
from hearth_build.onnx_export.quantize import quantize
from hearth_build.recipe import DynamicInt8
from tests.support.artifacts import describe_artifact, publish

MODEL = "random-int8"
SHAPE = Shape(
    vocabulary=8192,
    width=512,
    layers=4,
    heads=8,
    kv_heads=8,
    head_size=64,
    inner=2048,
    context=1024,
    positions="learned",
    norm="layer",
    activation="gelu-tanh",
    bias=True,
)


def make(folder: Path) -> None:
    """Publish it into the store `folder`."""
    import torch

    torch.manual_seed(0)
    raw, small, artifact = folder / "raw.onnx", folder / "small.onnx", folder / MODEL / "1"
    decoder_graph.write(Decoder(SHAPE).eval(), raw)
    quantize(DynamicInt8(), folder, raw, small)
    optimise(small, artifact)
    Tokenizer(models.BPE({"a": 0}, [])).save(str(artifact / "tokenizer.json"))
    manifest = describe_artifact(
        artifact,
        model=MODEL,
        version="1",
        task="text-generation",
        graph=describe(artifact),
        head=decoder_graph.head(architecture_of(SHAPE)),
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=SHAPE.context),
    )
    publish(artifact, manifest)
