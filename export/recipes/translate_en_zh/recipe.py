"""translate-en-zh: a small Marian-style network from short English sentences to simplified or traditional Chinese."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.translation import EOS_ID, PAD_ID, SCRIPTS, stage
from hearth_build.networks.marian import Marian, Shape
from hearth_build.onnx_export.seq2seq_graphs import Seq2SeqReference, graphs, head
from hearth_build.recipe import DynamicInt8, Gate, Recipe
from hearth_build.recipes.translate_en_zh import data

MAX_TOKENS = 64
SHAPE = Shape(
    vocabulary=data.VOCABULARY,
    hidden=160,
    encoder_layers=3,
    decoder_layers=2,
    heads=4,
    intermediate=512,
    positions=MAX_TOKENS,
    pad=PAD_ID,
    dropout=0.15,
)


def network(work: Path) -> nn.Module:
    return Marian(SHAPE)


RECIPE = Recipe(
    name="translate-en-zh",
    task="translation",
    description="Translates short English sentences to Chinese, in simplified or traditional characters.",
    licence="CC-BY-2.0-FR",
    labels=(),
    sources=(data.TATOEBA,),
    prepare=data.prepare,
    stages=(
        stage(
            "marian", network, MAX_TOKENS, learning_rate=1.5e-3, warmup=0.1, epochs=9, batch_size=1200, ema_decay=0.995
        ),
    ),
    graphs=graphs(SHAPE),
    reference_model=Seq2SeqReference,
    dev={"a twentieth of Tatoeba": data.examples},
    golden=lambda: (
        "I like reading books.",
        "Where is the station?",
        ">>zh-Hant<< My sister is a teacher.",
        "He didn't come to school yesterday.",
        "It is very cold today.",
    ),
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    quantization=DynamicInt8(),
    # No published result is known for this split: the gate only rejects models that do not translate at all.
    gate=Gate(metric=5.0, quantization_loss=1.0, bytes=8_000_000, difference=0.8),
    head=head(
        SHAPE,
        start=PAD_ID,
        eos=EOS_ID,
        max_new=MAX_TOKENS - 1,
        beams=5,
        source=("en",),
        target=tuple(SCRIPTS),
    ),
    limits=Limits(batch=16, characters=2000),
    limitations=(
        "For BLEU and chrF, each source requested the script of its reference translation.",
        "For short everyday sentences; longer sentences and rare words are translated wrongly.",
        "Latin letters in the output are in lower case.",
    ),
)
