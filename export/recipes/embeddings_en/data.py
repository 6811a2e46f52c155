"""Unlabelled sentences with the teacher's vectors, and held-out pairs of the STS benchmark.

Computing the teacher's vectors takes most of the time. They are saved in chunks, so an interrupted preparation resumes.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from hearth_build.data.datasets import Source, hold_out, text_key, unique
from hearth_build.data.text import pad, tokenize, wordpiece
from hearth_build.networks.bert import Encoder, read_shape, read_weights
from hearth_build.recipe import Example
from hearth_build.recipes.sentiment_en.data import (
    MULTI30K,
    SST2_TRAIN,
    STSB,
    UCI_FILES,
    VOCABULARY,
    detokenize,
    read_tabbed,
)
from hearth_build.training.bases import minilm

Pair = tuple[str, str, float]

SEED = 30
MAX_TOKENS = 128
WORDS = 12_000
"""Size of the student's vocabulary: the most frequent word pieces of BERT's, which is sorted by frequency."""
DIMENSIONS = 256
HELD_OUT_SHARE = 0.08
CAPTIONS, REVIEWS, TALK = 8000, 5000, 5000
"""Numbers of sentences from Multi30k, from SST-2 with UCI, and from Tatoeba."""
CHUNK = 1024
"""Number of texts per file of the teacher's vectors."""
STSB_DEV = Source(
    path="sentence_similarity/stsb-en-dev.csv",
    title="STS benchmark, English, dev (never trained on)",
    published="https://ixa2.si.ehu.eus/stswiki",
    licence="CC BY-SA 4.0 and others",
    sha256="d29586e96558c4eb52cf5ea5d14e9c24d3bf0e44f111b017caba43a5adc33226",
)
TATOEBA = Source(
    path="translation/tatoeba_en_zh_train.tsv",
    title="Tatoeba sentences, the English side",
    published="https://tatoeba.org",
    licence="CC BY 2.0 FR",
    sha256="0367228883e37b6bcce9525dff1539e311d7410a6048365ccc881a00b399a869",
)


def read_pairs(path: Path) -> list[Pair]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row[0], row[1], float(row[2])) for row in csv.reader(file)]


def prepare(work: Path) -> None:
    """Write tokenizer.json, texts.json, pairs (held.json, dev.json), and the teacher's vectors of texts and words."""
    full = wordpiece(VOCABULARY.file())
    vocabulary = small_vocabulary(full)
    (work / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    wordpiece(work / "vocabulary.txt").save(str(work / "tokenizer.json"), pretty=False)
    dev = read_pairs(STSB_DEV.file())
    train, held_out = hold_out(read_pairs(STSB.file()), HELD_OUT_SHARE, lambda pair: text_key(pair[0]), SEED)
    seen = {text_key(text) for pair in dev + held_out for text in pair[:2]}
    texts = unique((text for text in [*sentences(train), *other_sentences()] if text.strip()), text_key, seen)
    random.Random(SEED).shuffle(texts)
    for name, split in {"texts": texts, "held": held_out, "dev": dev}.items():
        (work / f"{name}.json").write_text(json.dumps(split, ensure_ascii=False), encoding="utf-8")
    run_teacher(work / "teacher-texts", tokenize(full, texts, MAX_TOKENS))
    ids = full.get_vocab()
    words = [[ids["[CLS]"], ids[word], ids["[SEP]"]] for word in vocabulary]
    run_teacher(work / "teacher-words", words)


def small_vocabulary(full: Tokenizer) -> list[str]:
    """Return the special tokens and the most frequent pieces, without BERT's unused ones."""
    pieces = sorted(full.get_vocab().items(), key=lambda item: item[1])
    return [piece for piece, _ in pieces if not piece.startswith("[unused")][:WORDS]


def sentences(pairs: Sequence[Pair]) -> list[str]:
    return [text for pair in pairs for text in pair[:2]]


def other_sentences() -> list[str]:
    """Return samples of captions, reviews and everyday sentences."""
    generator = random.Random(SEED)
    with gzip.open(MULTI30K.file(), "rt", encoding="utf-8") as file:
        captions = file.read().splitlines()
    reviews = [detokenize(text) for source in (SST2_TRAIN, *UCI_FILES) for text, _ in read_tabbed(source.file())]
    talk = [line.split("\t")[0] for line in TATOEBA.file().read_text(encoding="utf-8").splitlines()]
    samples = generator.sample(captions, CAPTIONS) + generator.sample(reviews, REVIEWS)
    return samples + generator.sample(sorted(set(talk)), TALK)


def run_teacher(folder: Path, rows: Sequence[Sequence[int]]) -> None:
    """Write the teacher's sentence vectors of token ids, CHUNK per file; existing files are kept."""
    folder.mkdir(exist_ok=True)
    teacher = Encoder(read_shape(minilm(), labels=1)).eval()
    weights = {name.removeprefix("bert."): value for name, value in read_weights(minilm()).items()}
    teacher.load_state_dict(weights, strict=False)
    for start in range(0, len(rows), CHUNK):
        path = folder / f"{start // CHUNK:04d}.pt"
        if path.exists():
            continue
        partial = path.with_suffix(".partial")
        torch.save(vectors_of(teacher, rows[start : start + CHUNK]), partial)
        partial.replace(path)


def teacher_vectors(folder: Path) -> Tensor:
    """Return the unit vectors in a folder, float32 (texts, 384)."""
    return torch.cat([torch.load(path, weights_only=True) for path in sorted(folder.glob("*.pt"))])


def vectors_of(network: torch.nn.Module, rows: Sequence[Sequence[int]], size: int = 64) -> Tensor:
    """Return the normalised mean token vectors, (rows, hidden), in the order of `rows`."""
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    vectors = torch.empty(0)
    with torch.no_grad():
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            batch = pad([rows[index] for index in chosen])
            pooled = mean_of(network(**batch), batch["attention_mask"])
            if not len(vectors):
                vectors = torch.empty(len(rows), pooled.shape[1])
            vectors[chosen] = pooled
    return vectors


def mean_of(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the normalised mean of the token vectors: (batch, sequence, hidden) to (batch, hidden)."""
    weights = mask[:, :, None].to(tokens.dtype)
    return functional.normalize((tokens * weights).sum(1) / weights.sum(1).clamp(min=1), dim=1)


def read(work: Path, name: str) -> list[Pair]:
    rows = json.loads((work / f"{name}.json").read_text(encoding="utf-8"))
    return [(first, second, score) for first, second, score in rows]


def examples(work: Path) -> list[Example]:
    return [Example([first, second], score) for first, second, score in read(work, "dev")]
