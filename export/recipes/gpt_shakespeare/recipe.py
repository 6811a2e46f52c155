"""gpt-shakespeare: a small Llama-shaped decoder that goes on in Shakespeare's manner."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits, TextPreprocessing
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Gate, OneCycle, Recipe, Stage
from hearth_build.recipes.gpt_shakespeare import data

TEMPLATE = "chat_template.jinja"
"""A conversation as a scene: who asks is the first citizen, and the second one answers."""
SHAPE = Shape(
    vocabulary=data.VOCABULARY,
    width=192,
    layers=4,
    heads=6,
    kv_heads=2,
    head_size=32,
    inner=384,
    context=192,
    dropout=0.15,
)


def network(work: Path) -> Decoder:
    return Decoder(SHAPE)


def batches(work: Path) -> data.Windows:
    return data.Windows(data.ids_of(work, "train"), SHAPE.context)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    logits = network(batch["ids"][:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), batch["ids"][:, 1:].flatten())


def score(network: nn.Module, work: Path) -> dict[str, float]:
    """Mean log-probability a character of the end of the training part, in windows that lie side by side."""
    ids = data.ids_of(work, "watch")
    windows = data.Windows(ids, SHAPE.context)
    starts = range(0, len(ids) - SHAPE.context - 1, SHAPE.context)
    token = loss(network, windows.collate(list(starts), 1.0)).item()
    characters = len((work / "watch.txt").read_text(encoding="utf-8"))
    return {"log-probability a character": -token * len(ids) / characters}


RECIPE = Recipe(
    name="gpt-shakespeare",
    version="2",
    task="text-generation",
    description="Goes on with a text in the manner of Shakespeare's plays.",
    licence="Apache-2.0",
    labels=(),
    sources=(data.TEXT,),
    prepare=data.prepare,
    stages=(
        Stage(
            name="decoder",
            network=network,
            batches=batches,
            loss=loss,
            score=score,
            # A text of a million characters, read twelve times, wants ten times the usual decay: with 0.1 the last five
            # epochs only learnt it by heart (1.639).
            optimiser=AdamW(rate=3e-3, weight_decay=1.0, betas=(0.9, 0.98)),
            schedule=OneCycle(warmup=0.06),
            epochs=12,
            batch=8,
            clip=1.0,
            average=0.995,
        ),
    ),
    twin=DecoderReference,
    graphs={"main": decoder_graph.write},
    dev={"the last tenth of Tiny Shakespeare": data.held},
    golden=lambda: (
        "First Citizen:\nWe are hungry, and the corn is dear; who will speak for us to the senate?\n\n",
        "ROMEO:\nBut soft, what light",
        "My lord, the king is at the gate, and with him ride\nA thousand men",
        "KING RICHARD III:\n",
    ),
    head=decoder_graph.head(SHAPE, template=TEMPLATE),
    resources={TEMPLATE: lambda work: Path(__file__).with_name(TEMPLATE).read_bytes()},
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=SHAPE.context),
    # Blocks of 4 bits cost as little (0.001 nats) and are a third smaller, but move the golden answers twice as far.
    quantization=DynamicInt8(),
    gate=Gate(metric=1.60, quantization_loss=0.01, bytes=4_000_000, difference=0.5),
    limits=Limits(batch=1, characters=20_000),
    reference="nanoGPT, nats a character on the same tenth: 1.4697 on a GPU, 1.88 in its CPU setting.",
    limitations=(
        "It knows one author's plays and nothing of the world; what it writes is pastiche.",
        "Prompt and answer together have at most 192 tokens, about 430 characters.",
        "The epoch that is kept was chosen by the end of the training part, not by the held-out tenth.",
    ),
)
