"""Multi30k: English image captions and their German translations."""

from __future__ import annotations

import gzip
from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key
from hearth_build.data.translation import Pair, joint_bpe, read_pairs, write_pairs
from hearth_build.recipe import Example

SPLIT_SEED = 40
HELD_OUT_SHARE = 0.02
VOCABULARY = 4000
FILES = {
    (split, language): Source(
        path=f"translation/multi30k_{split}.{language}.gz",
        title=f"Multi30k, {split}, {language}" + (" (never trained on)" if split == "val" else ""),
        published="https://github.com/multi30k/dataset",
        licence="none stated; Flickr30k captions, treat as non-commercial",
        sha256=sha256,
    )
    for split, language, sha256 in (
        ("train", "en", "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
        ("train", "de", "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
        ("val", "en", "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
        ("val", "de", "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    )
}


def prepare(work: Path) -> None:
    """Write tokenizer.json and pairs: train.json, held.json, which selects the best epoch, and val.json."""
    splits = split_pairs()
    for name, split in splits.items():
        write_pairs(work, name, split)
    texts = (text for pair in splits["train"] for text in pair)
    joint_bpe(texts, VOCABULARY, lowercase=True).save(str(work / "tokenizer.json"), pretty=False)


def split_pairs() -> dict[str, list[Pair]]:
    """Split the pairs. No text of val is in train or held, and no English text of held is in train."""
    val = read_file("val")
    seen = {text_key(text) for pair in val for text in pair}
    unseen = [pair for pair in read_file("train") if not seen & {text_key(text) for text in pair}]
    train, held_out = hold_out(unseen, HELD_OUT_SHARE, lambda pair: text_key(pair[0]), SPLIT_SEED)
    return {"train": train, "held": held_out, "val": val}


def read_file(split: str) -> list[Pair]:
    languages = []
    for language in ("en", "de"):
        with gzip.open(FILES[split, language].file(), "rt", encoding="utf-8") as file:
            languages.append([line.strip() for line in file])
    return list(zip(*languages, strict=True))


def examples(work: Path) -> list[Example]:
    return [Example(source, target) for source, target in read_pairs(work, "val")]
