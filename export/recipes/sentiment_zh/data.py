"""Hotel and takeaway reviews, and unlabelled Chinese sentences for pre-training."""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key, unique
from hearth_build.data.text import wordpiece
from hearth_build.recipe import Example

Labelled = tuple[str, int]

SPLIT_SEED = 30
DEV_SHARE = 0.1
CORPORA = "https://github.com/SophonPlus/ChineseNlpCorpus"
HOTELS = Source(
    path="sentiment_zh/chnsenticorp_train.csv",
    title="ChnSentiCorp hotel reviews",
    published=CORPORA,
    licence="none stated (research corpus)",
    sha256="774e49b789397a2f012be0c52024ddee96a99fced911b42f09a7584d54641afc",
)
TAKEAWAY = Source(
    path="sentiment_zh/waimai_train.csv",
    title="Waimai takeaway reviews",
    published=CORPORA,
    licence="none stated (research corpus)",
    sha256="55b7d49887c706be8363f4eb4fccb5c8b97ee871dc0849cb5f105ca386b31f75",
)
STSB = Source(
    path="sentence_similarity/stsb-zh-train.csv",
    title="STS benchmark in Chinese (unlabelled)",
    published="https://github.com/pluto-junzeng/CNSD",
    licence="CC BY-SA 4.0 and others",
    sha256="6d44b5faa6c88e76f0c5f39fcd5963622c121b1d106f139a33b5b1df24c20ce2",
)
TATOEBA = Source(
    path="translation/tatoeba_en_zh_train.tsv",
    title="Tatoeba's Chinese sentences (unlabelled)",
    published="https://tatoeba.org",
    licence="CC BY 2.0 FR",
    sha256="0367228883e37b6bcce9525dff1539e311d7410a6048365ccc881a00b399a869",
)
MSRA = Source(
    path="ner/dh_msra.zip",
    title="MSRA news sentences (unlabelled)",
    published="https://github.com/zjy-ucas/ChineseNER",
    licence="none stated",
    sha256="5a0b2e4c543d8a803b138b5488313425cdec26708e323388d37750c6bd35b4e9",
)
MSRA_SENTENCES = 12_000
VOCABULARY = Source(
    path="vocab/bert-base-chinese-vocab.txt",
    title="BERT's Chinese vocabulary",
    published="https://huggingface.co/google-bert/bert-base-chinese",
    licence="Apache-2.0",
    sha256="45bbac6b341c319adc98a532532882e91a9cefc0329aa57bac9ae761c27b291c",
)


def prepare(work: Path) -> None:
    """Write tokenizer.json, pairs of text and label (train, hotels, takeaway.json), texts (unlabelled, pieces.json)."""
    wordpiece(VOCABULARY.file()).save(str(work / "tokenizer.json"), pretty=False)
    seen: set[str] = set()
    splits: dict[str, list[Labelled]] = {"train": []}
    sources = {"hotels": HOTELS, "takeaway": TAKEAWAY}
    # The split depends on a text's key, so that a review that is in both corpora is in one split only.
    for name, source in sources.items():
        reviews = unique(read_reviews(source.file()), lambda review: text_key(review[0]), seen)
        train, splits[name] = hold_out(reviews, DEV_SHARE, lambda review: text_key(review[0]), SPLIT_SEED)
        splits["train"] += train
    for name, split in splits.items():
        (work / f"{name}.json").write_text(json.dumps(split, ensure_ascii=False), encoding="utf-8")
    texts = unique(unlabelled(), text_key, seen)
    (work / "unlabelled.json").write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    train_texts = [text for text, _ in splits["train"]]
    augmented = unique(augment(train_texts, random.Random(SPLIT_SEED)), text_key, seen)
    (work / "pieces.json").write_text(json.dumps(augmented, ensure_ascii=False), encoding="utf-8")


def augment(reviews: list[str], generator: random.Random) -> list[str]:
    """Return the additional texts that the teacher labels: a part of each review, and halves of two reviews joined."""
    augmented = []
    for text in reviews:
        start = generator.randrange(max(1, len(text) - 6))
        augmented.append(text[start : start + generator.randint(6, max(6, len(text)))])
        other = generator.choice(reviews)
        augmented.append(text[: len(text) // 2][-70:] + other[len(other) // 2 :][:70])
    return augmented


def read_reviews(path: Path) -> list[Labelled]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["review"].strip(), int(row["label"])) for row in csv.DictReader(file) if row["review"].strip()]


def unlabelled() -> list[str]:
    """Return the sentences for pre-training."""
    with STSB.file().open(encoding="utf-8", newline="") as file:
        texts = [text for row in csv.reader(file) for text in row[:2]]
    texts += [line.split("\t")[1] for line in TATOEBA.file().read_text(encoding="utf-8").splitlines()]
    with zipfile.ZipFile(MSRA.file()) as archive:
        lines = io.StringIO(archive.read("dh_msra.txt").decode("utf-8"))
    sentences, characters = [], []
    for line in lines:
        if line.strip():
            characters.append(line.split("\t")[0])
        elif characters:
            sentences.append("".join(characters))
            characters = []
    return texts + random.Random(SPLIT_SEED).sample(sentences, MSRA_SENTENCES)


def read(work: Path, name: str) -> list[Labelled]:
    return [(text, label) for text, label in json.loads((work / f"{name}.json").read_text(encoding="utf-8"))]


def dev(work: Path) -> list[Example]:
    return [*examples(work, "hotels"), *examples(work, "takeaway")]


def examples(work: Path, name: str) -> list[Example]:
    return [Example(text, label) for text, label in read(work, name)]
