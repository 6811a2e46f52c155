"""SST-2 and UCI sentences, unlabelled sentences for distillation, and the folder of MiniLM."""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key, unique
from hearth_build.data.text import wordpiece
from hearth_build.recipe import Example

Labelled = tuple[str, int]

SPLIT_SEED = 20
UCI_DEV_SHARE = 0.2
PTB = "https://nlp.stanford.edu/sentiment/"
UCI = "https://archive.ics.uci.edu/dataset/331/sentiment+labelled+sentences"
SST2_TRAIN = Source(
    path="sentiment_en/sst2_train.tsv",
    title="SST-2 training sentences",
    published=PTB,
    licence="none stated (research corpus)",
    sha256="ec192f833a64da08f475488a77b0d0b47db47acd0f458bd18433fc793b569920",
)
SST2_DEV = Source(
    path="sentiment_en/sst2_dev.tsv",
    title="SST-2 dev sentences (never trained on)",
    published=PTB,
    licence="none stated (research corpus)",
    sha256="eddea6b39e601dd4e7a672b53cc40fdf6019fa80522f351206c24340ca5d9359",
)
UCI_FILES = tuple(
    Source(f"sentiment_en/uci_{name}_labelled.txt", f"UCI Sentiment Labelled Sentences, {name}", UCI, "CC BY 4.0", sha)
    for name, sha in (
        ("amazon_cells", "47003fc0a0d4840b00e96e715b6189bad09e7443a3da41c4cbe12ffc79f86ae3"),
        ("imdb", "aef2e49e3da25714d61175e3a6e68eeef74a20a2f914318dc3be9947ea86512d"),
        ("yelp", "c76468b7b5c6e56a0804d728345c5f84aa2142ddb214420f61cc9cfd4c00d2ea"),
    )
)
STSB = Source(
    path="sentence_similarity/stsb-en-train.csv",
    title="STS benchmark, English sentences (unlabelled)",
    published="https://ixa2.si.ehu.eus/stswiki",
    licence="CC BY-SA 4.0 and others",
    sha256="e1e84fec60bbb598735552f54a35f4949904a484750fd2cb11e2720e49f63da6",
)
MULTI30K = Source(
    path="translation/multi30k_train.en.gz",
    title="Multi30k English captions (unlabelled)",
    published="https://github.com/multi30k/dataset",
    licence="none stated; Flickr30k captions, treat as non-commercial",
    sha256="d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f",
)
VOCABULARY = Source(
    path="vocab/bert-base-uncased-vocab.txt",
    title="BERT's uncased vocabulary",
    published="https://huggingface.co/google-bert/bert-base-uncased",
    licence="Apache-2.0",
    sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
)


def read_tabbed(path: Path) -> list[Labelled]:
    with path.open(encoding="utf-8") as file:
        rows = [line.rstrip("\n").rpartition("\t") for line in file]
    return [(text.strip(), int(label)) for text, _, label in rows]


def prepare(work: Path) -> None:
    """Write tokenizer.json, train.json, sst2.json, uci.json ([text, label] each) and unlabelled.json (texts)."""
    wordpiece(VOCABULARY.file()).save(str(work / "tokenizer.json"), pretty=False)
    seen: set[str] = set()

    def key(item: Labelled) -> str:
        return text_key(item[0])

    sst2 = unique(read_tabbed(SST2_DEV.file()), key, seen)
    uci = [item for source in UCI_FILES for item in read_tabbed(source.file())]
    uci_train, uci_dev = hold_out(uci, UCI_DEV_SHARE, key, SPLIT_SEED)
    uci_dev = unique(uci_dev, key, seen)
    dev_keys = set(seen)
    train = unique(read_tabbed(SST2_TRAIN.file()) + uci_train, key, seen)
    texts = [text for text, _ in train] + captions()
    splits = {"train": train, "sst2": sst2, "uci": uci_dev}
    splits["unlabelled"] = unlabelled(texts, dev_keys, random.Random(SPLIT_SEED))  # type: ignore[assignment]
    for name, split in splits.items():
        (work / f"{name}.json").write_text(json.dumps(split, ensure_ascii=False), encoding="utf-8")


def captions() -> list[str]:
    """Return 5000 sentences of STS-B and Multi30k."""
    with STSB.file().open(encoding="utf-8") as file:
        sentences = [text for row in csv.reader(file) for text in row[:2]]
    with gzip.open(MULTI30K.file(), "rt", encoding="utf-8") as file:
        return random.Random(SPLIT_SEED).sample(sentences, 3000) + file.read().splitlines()[:2000]


def unlabelled(texts: list[str], excluded: set[str], generator: random.Random) -> list[str]:
    """Return the additional texts that the teacher labels: captions, parts of reviews, and halves of two reviews."""
    reviews, captions = texts[:-5000], texts[-5000:]
    augmented = list(captions)
    for text in reviews:
        words = text.split()
        if len(words) > 5:
            start = generator.randrange(len(words) - 3)
            augmented.append(detokenize(" ".join(words[start : start + generator.randint(3, len(words))])))
        other = generator.choice(reviews).split()
        if len(words) + len(other) < 60 and generator.random() < 0.4:
            augmented.append(detokenize(" ".join(words[: len(words) // 2] + other[len(other) // 2 :])))
        if generator.random() < 0.4:
            augmented.append(detokenize(text))
    return [text for text in augmented if text_key(text) not in excluded]


def detokenize(text: str) -> str:
    """Join the tokens of SST as people write them: `ca n't` becomes `can't`, ` ,` becomes `,`."""
    text = re.sub(r" (n't|'s|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    return re.sub(r" ([,.!?;:])", r"\1", text)


def read(work: Path, name: str) -> list[Labelled]:
    return [(text, label) for text, label in json.loads((work / f"{name}.json").read_text(encoding="utf-8"))]


def examples(work: Path, name: str) -> list[Example]:
    return [Example(text, label) for text, label in read(work, name)]
