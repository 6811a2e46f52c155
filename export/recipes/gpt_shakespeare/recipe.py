"""gpt-shakespeare: a small Llama-style decoder that continues texts in the style of Shakespeare."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.networks.gpt import Decoder, Shape
from hearth_build.onnx_export import decoder_graph
from hearth_build.onnx_export.decoder_architecture import architecture_of
from hearth_build.onnx_export.decoder_reference import DecoderReference
from hearth_build.recipe import AdamW, Batch, DynamicInt8, Gate, OneCycle, Recipe, Stage
from hearth_build.recipes.gpt_shakespeare import data

CHAT_TEMPLATE = "chat_template.jinja"
"""Formats a conversation as a scene: the user is the first citizen, the assistant the second."""
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
    """Return the mean log-probability per character of the validation text, in adjacent windows."""
    ids = data.ids_of(work, "watch")
    windows = data.Windows(ids, SHAPE.context)
    starts = range(0, len(ids) - SHAPE.context - 1, SHAPE.context)
    loss_per_token = loss(network, windows.collate(list(starts), 1.0)).item()
    characters = len((work / "watch.txt").read_text(encoding="utf-8"))
    return {"log-probability per character": -loss_per_token * len(ids) / characters}


RECIPE = Recipe(
    name="gpt-shakespeare",
    version="2",
    task="text-generation",
    description="Continues a text in the style of Shakespeare's plays.",
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
            # Twelve epochs over a million characters need ten times the usual decay: with 0.1, the network only
            # memorised the text in the last five epochs (1.639).
            optimiser=AdamW(learning_rate=3e-3, weight_decay=1.0, betas=(0.9, 0.98)),
            schedule=OneCycle(warmup=0.06),
            epochs=12,
            batch_size=8,
            max_grad_norm=1.0,
            ema_decay=0.995,
        ),
    ),
    reference_model=DecoderReference,
    graphs={"main": decoder_graph.write},
    dev={"the last tenth of Tiny Shakespeare": data.held_out},
    golden=lambda: (
        "First Citizen:\nWe are hungry, and the corn is dear; who will speak for us to the senate?\n\n",
        "ROMEO:\nBut soft, what light",
        "My lord, the king is at the gate, and with him ride\nA thousand men",
        "KING RICHARD III:\n",
    ),
    head=decoder_graph.head(architecture_of(SHAPE), template=CHAT_TEMPLATE),
    resources={CHAT_TEMPLATE: lambda work: Path(__file__).with_name(CHAT_TEMPLATE).read_bytes()},
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=SHAPE.context),
    # 4-bit blocks cost as little (0.001 nats) and are a third smaller, but change the golden answers twice as much.
    quantization=DynamicInt8(),
    gate=Gate(metric=1.60, quantization_loss=0.01, bytes=4_000_000, difference=0.5),
    limits=Limits(batch=1, characters=20_000),
    reference="nanoGPT, nats per character on the same tenth: 1.4697 on a GPU, 1.88 with its CPU settings.",
    limitations=(
        "It was trained on the plays of one author and knows nothing else; its texts are pastiche.",
        "Prompt and output together have at most 192 tokens, about 430 characters.",
        "The best epoch was selected on the end of the training text, not on the held-out tenth.",
    ),
)
