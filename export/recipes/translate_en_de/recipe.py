"""translate-en-de: a small encoder-decoder that translates captions from English to German."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.translation import EOS_ID, PAD_ID, stage
from hearth_build.networks.marian import Marian, Shape
from hearth_build.onnx_export.seq2seq_graphs import Seq2SeqReference, graphs, head
from hearth_build.pipeline.train import weights_of
from hearth_build.recipe import DynamicInt8, Gate, Recipe
from hearth_build.recipes.translate_en_de import data

MAX_TOKENS = 100
SHAPE = Shape(
    vocabulary=data.VOCABULARY,
    hidden=192,
    encoder_layers=3,
    decoder_layers=3,
    heads=4,
    intermediate=512,
    positions=256,
    pad=PAD_ID,
    dropout=0.15,
)


def network(work: Path) -> nn.Module:
    return Marian(SHAPE)


def trained_network(work: Path) -> nn.Module:
    network = Marian(SHAPE)
    network.load_state_dict(weights_of(work, "translator"))
    return network


RECIPE = Recipe(
    name="translate-en-de",
    task="translation",
    description="Translates short descriptions of images from English to German.",
    licence="Apache-2.0",
    labels=(),
    sources=tuple(data.FILES.values()),
    prepare=data.prepare,
    stages=(
        stage(
            "translator",
            network,
            MAX_TOKENS,
            learning_rate=2e-3,
            warmup=0.08,
            epochs=11,
            batch_size=1500,
            ema_decay=0.998,
        ),
        # Training continues: in the first stage the learning rate reached zero before the score stopped improving.
        stage(
            "refined",
            trained_network,
            MAX_TOKENS,
            learning_rate=1.2e-3,
            warmup=0.05,
            epochs=6,
            batch_size=1500,
            ema_decay=0.998,
        ),
    ),
    graphs=graphs(SHAPE),
    reference_model=Seq2SeqReference,
    dev={"Multi30k val": data.examples},
    golden=lambda: (
        "A man is riding a bicycle.",
        "Two children play in the snow with a dog.",
        "A woman in a red coat is waiting for the bus.",
    ),
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    head=head(
        SHAPE,
        start=PAD_ID,
        eos=EOS_ID,
        max_new=MAX_TOKENS,
        beams=5,
        source=("en",),
        target=("de",),
    ),
    quantization=DynamicInt8(),
    # Rounding may exchange one word of a translation for another, so golden answers need not be equal, only close.
    gate=Gate(metric=37.0, quantization_loss=0.5, bytes=8_000_000, difference=0.6),
    limits=Limits(batch=16, characters=2_000),
    reference="test2016, lower case: small Transformers reach about 38 to 41 BLEU; 7.6 M parameters, greedy: 35.7.",
    limitations=(
        "It was trained on image captions only: short descriptions of people, animals and places.",
        "The German output is in lower case.",
        "Flickr30k's captions state no licence; treat them as non-commercial, and check before commercial use.",
    ),
)
