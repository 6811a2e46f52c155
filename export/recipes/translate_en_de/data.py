"""Multi30k: English captions of pictures and their German translations."""

from __future__ import annotations

import gzip
from pathlib import Path

from hearth_build.data.datasets import Source, hold_out, text_key
from hearth_build.data.translation import Pair, joint_bpe, read_pairs, write_pairs
from hearth_build.recipe import Example

SPLIT_SEED = 40
HELD_PART = 0.02
VOCABULARY = 4000
FILES = {
    (part, language): Source(
        path=f"translation/multi30k_{part}.{language}.gz",
        title=f"Multi30k, {part}, {language}" + (" (never trained on)" if part == "val" else ""),
        published="https://github.com/multi30k/dataset",
        licence="none stated; Flickr30k captions, treat as non-commercial",
        sha256=sha256,
    )
    for part, language, sha256 in (
        ("train", "en", "d79cfa999dd4c51d2cb42499b6796d5a882c3a8a961923c25a898c90f8bbd56f"),
        ("train", "de", "726e39b2fa9eb9ffb6dc763fb35a179f80fae06ffc5d28b6ace5faa883de28a6"),
        ("val", "en", "14f7d25ddd868909a9213e361768460edcacdd6ab9d1e77b92560dc10c10dc28"),
        ("val", "de", "f0cba2f995189cf5770f29a8a9a537a3ad3f51657ad873405082ff6863a5e75a"),
    )
}


def prepare(work: Path) -> None:
    """Write train.json, held.json (which chooses the epoch) and val.json, of pairs, and tokenizer.json."""
    found = parts()
    for name, part in found.items():
        write_pairs(work, name, part)
    texts = (text for pair in found["train"] for text in pair)
    joint_bpe(texts, VOCABULARY, lowercase=True).save(str(work / "tokenizer.json"), pretty=False)


def parts() -> dict[str, list[Pair]]:
    """No text of val stands in train or held, and no English one of held in train."""
    val = pairs("val")
    seen = {text_key(text) for pair in val for text in pair}
    known = [pair for pair in pairs("train") if not seen & {text_key(text) for text in pair}]
    train, held = hold_out(known, HELD_PART, lambda pair: text_key(pair[0]), SPLIT_SEED)
    return {"train": train, "held": held, "val": val}


def pairs(part: str) -> list[Pair]:
    sides = []
    for language in ("en", "de"):
        with gzip.open(FILES[part, language].file(), "rt", encoding="utf-8") as opened:
            sides.append([line.strip() for line in opened])
    return list(zip(*sides, strict=True))


def examples(work: Path) -> list[Example]:
    return [Example(source, target) for source, target in read_pairs(work, "val")]
