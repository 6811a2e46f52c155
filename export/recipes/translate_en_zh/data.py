"""Tatoeba: short English sentences and their Chinese translations, in simplified or traditional characters."""

from __future__ import annotations

from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key
from hearth_build.data.translation import SCRIPTS, Pair, joint_bpe, language_token, read_pairs, scripts, write_pairs
from hearth_build.recipe import Example

SPLIT_SEED = 41
VAL_SHARE, HELD_OUT_SHARE = 0.05, 0.02
VOCABULARY = 4500
TATOEBA = Source(
    path="translation/tatoeba_en_zh_train.tsv",
    title="Tatoeba, English and Chinese",
    published="https://tatoeba.org",
    licence="CC BY 2.0 FR",
    sha256="0367228883e37b6bcce9525dff1539e311d7410a6048365ccc881a00b399a869",
)


def prepare(work: Path) -> None:
    """Write tokenizer.json and pairs: train.json, held.json, which selects the best epoch, and val.json."""
    splits = split_pairs()
    for name, split in splits.items():
        write_pairs(work, name, split)
    tokens = [language_token(script) for script in SCRIPTS]
    texts = (text for pair in splits["train"] for text in pair)
    tokenizer = joint_bpe(texts, VOCABULARY, lowercase=True, special=tokens, characters=True)
    tokenizer.save(str(work / "tokenizer.json"), pretty=False)


def split_pairs() -> dict[str, list[Pair]]:
    """Split the pairs so that no English sentence is in two splits. Each source begins with the token of its script.

    A translation that is correct in both scripts is used for both, but only once in val.
    """
    others, val = hold_out(read_file(), VAL_SHARE, lambda pair: text_key(pair[0]), SPLIT_SEED)
    train, held_out = hold_out(others, HELD_OUT_SHARE, lambda pair: text_key(pair[0]), SPLIT_SEED + 1)
    val_once = [tagged[0] for pair in val if (tagged := tag_scripts([pair]))]
    return {"train": tag_scripts(train), "held": tag_scripts(held_out), "val": val_once}


def read_file() -> list[Pair]:
    with TATOEBA.file().open(encoding="utf-8") as lines:
        rows = (line.rstrip("\n").split("\t") for line in lines)
        return [(source.strip(), target.strip()) for source, target in rows]


def tag_scripts(pairs: list[Pair]) -> list[Pair]:
    """Return every pair once for each script of its translation, with the script's token before the source."""
    return [(f"{language_token(script)} {source}", target) for source, target in pairs for script in scripts(target)]


def examples(work: Path) -> list[Example]:
    return [Example(source, target) for source, target in read_pairs(work, "val")]
