"""Four pairs of sentences with a tokenizer, and the shape of a translator that learns them."""

from __future__ import annotations

from pathlib import Path

from hearth_build.data.translation import PAD_ID, joint_bpe, write_pairs
from hearth_build.networks.marian import Shape

PAIRS = [
    ("A man is walking.", "Ein Mann geht."),
    ("Two dogs play in the snow.", "Zwei Hunde spielen im Schnee."),
    ("A man sits.", "Ein Mann sitzt."),
    ("A woman and a man are walking in the snow.", "Eine Frau und ein Mann gehen im Schnee."),
]
SHAPE = Shape(
    vocabulary=120,
    hidden=32,
    encoder_layers=2,
    decoder_layers=2,
    heads=4,
    intermediate=48,
    positions=40,
    pad=PAD_ID,
    dropout=0.0,
)


def write_data(folder: Path) -> None:
    """Write the pairs as the part `train`, and tokenizer.json."""
    texts = [text for pair in PAIRS for text in pair] * 4
    joint_bpe(texts, SHAPE.vocabulary, lowercase=True, special=[">>de<<"]).save(str(folder / "tokenizer.json"))
    write_pairs(folder, "train", PAIRS)
