"""Tatoeba: short English sentences and their Chinese translations, in simplified or traditional characters."""

from __future__ import annotations

from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key
from hearth_build.data.translation import SCRIPTS, Pair, joint_bpe, language_token, read_pairs, scripts, write_pairs
from hearth_build.recipe import Example

SPLIT_SEED = 41
VAL_PART, HELD_PART = 0.05, 0.02
VOCABULARY = 4500
TATOEBA = Source(
    path="translation/tatoeba_en_zh_train.tsv",
    title="Tatoeba, English and Chinese",
    published="https://tatoeba.org",
    licence="CC BY 2.0 FR",
    sha256="0367228883e37b6bcce9525dff1539e311d7410a6048365ccc881a00b399a869",
)


def prepare(work: Path) -> None:
    """Write train.json, held.json (which chooses the epoch) and val.json, of pairs, and tokenizer.json."""
    found = parts()
    for name, part in found.items():
        write_pairs(work, name, part)
    tokens = [language_token(script) for script in SCRIPTS]
    texts = (text for pair in found["train"] for text in pair)
    tokenizer = joint_bpe(texts, VOCABULARY, lowercase=True, special=tokens, characters=True)
    tokenizer.save(str(work / "tokenizer.json"), pretty=False)


def parts() -> dict[str, list[Pair]]:
    """No English sentence of one part stands in another. Each source begins with the token of its script; a translation
    that is right in both counts in both, but in val once."""
    known, val = hold_out(pairs(), VAL_PART, lambda pair: text_key(pair[0]), SPLIT_SEED)
    train, held = hold_out(known, HELD_PART, lambda pair: text_key(pair[0]), SPLIT_SEED + 1)
    once = [found[0] for pair in val if (found := tagged([pair]))]
    return {"train": tagged(train), "held": tagged(held), "val": once}


def pairs() -> list[Pair]:
    with TATOEBA.file().open(encoding="utf-8") as lines:
        rows = (line.rstrip("\n").split("\t") for line in lines)
        return [(source.strip(), target.strip()) for source, target in rows]


def tagged(found: list[Pair]) -> list[Pair]:
    """Every pair once for each script that its translation is written in."""
    return [(f"{language_token(script)} {source}", target) for source, target in found for script in scripts(target)]


def examples(work: Path) -> list[Example]:
    return [Example(source, target) for source, target in read_pairs(work, "val")]
