"""Chinese news sentences with persons, places and organisations labelled character by character."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from hearth_build.data.datasets import Source, hold_out, text_key, unique
from hearth_build.data.tagged_texts import character_tokenizer
from hearth_build.recipe import Example

Tagged = tuple[str, list[str]]
"""A sentence and one label per character."""

SPLIT_SEED = 30
DEV_SHARE = 0.1
VOCABULARY = 5000
"""Rows of the character embedding, slightly more than there are characters."""
LABELS = ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER")
MSRA = Source(
    path="ner/dh_msra.zip",
    title="MSRA named entities",
    published="https://github.com/zjy-ucas/ChineseNER",
    licence="none stated",
    sha256="5a0b2e4c543d8a803b138b5488313425cdec26708e323388d37750c6bd35b4e9",
)


def prepare(work: Path) -> None:
    """Write train.json and dev.json, lists of [sentence, labels], and tokenizer.json."""
    sentences = unique(read_sentences(), key, set())
    train, dev = hold_out(sentences, DEV_SHARE, key, SPLIT_SEED)
    for name, split in (("train", train), ("dev", dev)):
        (work / f"{name}.json").write_text(json.dumps(split, ensure_ascii=False), encoding="utf-8")
    character_tokenizer([text for text, _ in train]).save(str(work / "tokenizer.json"), pretty=False)


def key(sentence: Tagged) -> str:
    return text_key(sentence[0])


def read_sentences() -> list[Tagged]:
    with zipfile.ZipFile(MSRA.file()) as archive:
        lines = archive.read("dh_msra.txt").decode("utf-8").split("\n")
    return parse(lines)


def parse(lines: Sequence[str]) -> list[Tagged]:
    """Parse lines of `character<TAB>label`, with an empty line after each sentence."""
    sentences: list[Tagged] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.strip():
            rows.append(line.rstrip().split("\t"))
        elif rows:
            sentences.append(("".join(character for character, _ in rows), [label for _, label in rows]))
            rows = []
    return sentences


def read(work: Path, name: str) -> list[Tagged]:
    return [(text, labels) for text, labels in json.loads((work / f"{name}.json").read_text(encoding="utf-8"))]


def rows_of(work: Path, sentences: Sequence[Tagged]) -> list[tuple[list[int], list[int]]]:
    """Return token ids and label indices.

    If normalisation turns a character into several tokens, only the first one can begin an entity.
    """
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    rows = []
    encodings = tokenizer.encode_batch([text for text, _ in sentences])
    for encoding, (_, labels) in zip(encodings, sentences, strict=True):
        indices, previous = [], -1
        for start, _ in encoding.offsets:
            label = labels[start]
            indices.append(LABELS.index(label if start != previous else label.replace("B-", "I-")))
            previous = start
        rows.append((encoding.ids, indices))
    return rows


def dev(work: Path) -> list[Example]:
    return [Example(text, spans(labels)) for text, labels in read(work, "dev")]


def spans(labels: Sequence[str]) -> list[list[object]]:
    """Return [start, end, type] of each entity in labels of the form B-X, I-X, O."""
    entities: list[list[object]] = []
    for index, label in enumerate(labels):
        if label.startswith("B-"):
            entities.append([index, index + 1, label[2:]])
        elif label.startswith("I-") and entities:
            entities[-1][1] = index + 1
    return entities
