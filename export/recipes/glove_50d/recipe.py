"""glove-50d: an import of 5,050 of GloVe's word vectors, without training."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Split
from torch import nn

from hearth.models.heads import Pooling
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.datasets import Source
from hearth_build.evaluations.embeddings import read
from hearth_build.networks import sentence_encoder
from hearth_build.networks.word_vectors import WordVectors
from hearth_build.recipe import Example, Gate, NoQuantization, Recipe

UNKNOWN = "[UNK]"
DIMENSIONS = 50
MAX_TOKENS = 512
WORDS = r"'\w+|\w+|[^\w\s]"
"""Approximates GloVe's tokenizer: words, endings such as 's, and punctuation marks."""
VECTORS = Source(
    path="weights/glove_50d_5k/glove-50d-5k.json",
    title="GloVe 6B (Wikipedia 2014 and Gigaword 5), 50 dimensions, 5,050 words",
    published="https://nlp.stanford.edu/projects/glove/",
    licence="PDDL 1.0",
    sha256="11489e65be581a8315d48ba2efa55067c9216359d11390d3337a292780274517",
)
WORDSIM = Source(
    path="word_similarity/wordsim353.tsv",
    title="WordSimilarity-353",
    published="http://www.cs.technion.ac.il/~gabr/resources/data/wordsim353/",
    licence="CC BY 4.0",
    sha256="f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d",
)
ANALOGIES = Source(
    path="word_similarity/questions-words.txt",
    title="Google's analogies",
    published="https://github.com/tmikolov/word2vec",
    licence="Apache-2.0",
    sha256="8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
)


def vectors() -> dict[str, list[float]]:
    by_word: dict[str, list[float]] = json.loads(VECTORS.file().read_text(encoding="utf-8"))
    return by_word


def prepare(work: Path) -> None:
    """Write tokenizer.json."""
    ids = {word: index for index, word in enumerate([UNKNOWN, *vectors()])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Split(Regex(WORDS), behavior="removed", invert=True)
    tokenizer.save(str(work / "tokenizer.json"), pretty=False)


def network(work: Path) -> nn.Module:
    """Return the network; row 0, for unknown words, is zero."""
    return WordVectors(torch.tensor([[0.0] * DIMENSIONS, *vectors().values()]))


def similarities(work: Path) -> list[Example]:
    return read(WORDSIM.file())


def analogies(work: Path) -> list[Example]:
    return read(ANALOGIES.file())


RECIPE = Recipe(
    name="glove-50d",
    task="feature-extraction",
    description="English word vectors: similarity of words and short texts, nearest neighbours, analogies.",
    licence="PDDL 1.0",
    labels=(),
    sources=(VECTORS, WORDSIM, ANALOGIES),
    prepare=prepare,
    stages=(),
    network=network,
    graphs={"main": sentence_encoder.graph()},
    dev={"WordSim353": similarities, "Google analogies": analogies},
    golden=lambda: (
        "king",
        ["coffee", "tea"],
        {"positive": ["king", "woman"], "negative": ["man"]},
        {"positive": ["paris", "italy"], "negative": ["france"]},
        {"positive": ["guitar"]},
    ),
    preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    head=Pooling(method="mean", normalise=False, dimensions=DIMENSIONS, words=True),
    # int8 would reduce the size from 1.0 to 0.3 MB and change WordSim353 by 0.001.
    quantization=NoQuantization(),
    gate=Gate(metric=0.54, quantization_loss=0.001, bytes=1_500_000, difference=0.001),
    limits=Limits(batch=64, characters=20_000),
    parents=("GloVe 6B (PDDL 1.0)",),
    reference="Source: WordSim353 0.546 (0.545 if ties share a rank, as here and in gensim); analogies 64.6 %.",
    limitations=(
        "It knows 5,050 words. Other words are ignored; a text without known words is the zero vector.",
        "It ignores the order of words in a text.",
        "GloVe reproduces the biases of its training texts.",
    ),
)
