"""Chinese news sentences with persons, places and organisations marked character by character."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Split

from hearth_build.data.datasets import Source, hold_out, text_key, unique
from hearth_build.recipe import Example

Tagged = tuple[str, list[str]]
"""A sentence and a label a character."""

SPLIT_SEED = 30
DEV_PART = 0.1
RARE = 2
"""Characters seen less often are unknown ones: the network must learn what to make of those, too."""
PAD, UNKNOWN = "[PAD]", "[UNK]"
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
    train, dev = hold_out(sentences, DEV_PART, key, SPLIT_SEED)
    for name, part in (("train", train), ("dev", dev)):
        (work / f"{name}.json").write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8")
    characters([text for text, _ in train]).save(str(work / "tokenizer.json"), pretty=False)


def key(sentence: Tagged) -> str:
    return text_key(sentence[0])


def read_sentences() -> list[Tagged]:
    with zipfile.ZipFile(MSRA.file()) as archive:
        lines = archive.read("dh_msra.txt").decode("utf-8").split("\n")
    return tagged(lines)


def tagged(lines: Sequence[str]) -> list[Tagged]:
    """Sentences from lines of `character<TAB>label`, with an empty one after each sentence."""
    sentences: list[Tagged] = []
    rows: list[list[str]] = []
    for line in [*lines, ""]:
        if line.strip():
            rows.append(line.rstrip().split("\t"))
        elif rows:
            sentences.append(("".join(letter for letter, _ in rows), [label for _, label in rows]))
            rows = []
    return sentences


def characters(texts: Sequence[str]) -> Tokenizer:
    """A token a character, folded in width and case; spaces are characters, so that offsets and words are exact."""
    spaces = normalizers.Replace(Regex(r"\s"), " ")
    folding = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), spaces])
    counted = Counter(letter for text in texts for letter in folding.normalize_str(text))
    seen = [letter for letter, count in sorted(counted.items(), key=lambda item: (-item[1], item[0])) if count >= RARE]
    known = dict.fromkeys([PAD, UNKNOWN, " ", *seen])
    # Pieces would be marked with ##: as there are none, every character is a word, also to those who group by words.
    tokenizer = Tokenizer(WordPiece({token: number for number, token in enumerate(known)}, unk_token=UNKNOWN))
    tokenizer.normalizer = folding
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([PAD, UNKNOWN])
    return tokenizer


def read(work: Path, name: str) -> list[Tagged]:
    return [(text, labels) for text, labels in json.loads((work / f"{name}.json").read_text(encoding="utf-8"))]


def rows_of(work: Path, sentences: Sequence[Tagged]) -> list[tuple[list[int], list[int]]]:
    """Token ids and label numbers. Where folding makes several tokens of a character, the first alone begins."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    rows = []
    encodings = tokenizer.encode_batch([text for text, _ in sentences])
    for encoding, (_, labels) in zip(encodings, sentences, strict=True):
        numbers, last = [], -1
        for start, _ in encoding.offsets:
            label = labels[start]
            numbers.append(LABELS.index(label if start != last else label.replace("B-", "I-")))
            last = start
        rows.append((encoding.ids, numbers))
    return rows


def dev(work: Path) -> list[Example]:
    return [Example(text, spans(labels)) for text, labels in read(work, "dev")]


def spans(labels: Sequence[str]) -> list[list[object]]:
    """[start, end, kind] of each entity in labels of the form B-X, I-X, O."""
    found: list[list[object]] = []
    for place, label in enumerate(labels):
        if label.startswith("B-"):
            found.append([place, place + 1, label[2:]])
        elif label.startswith("I-") and found:
            found[-1][1] = place + 1
    return found
