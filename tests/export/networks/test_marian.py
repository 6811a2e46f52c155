"""The translator's network: padding has no influence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hearth_build.data import translation
from hearth_build.data.translation import PAD_ID, Pairs, joint_bpe, write_pairs
from hearth_build.networks.marian import Marian, Shape

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


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translation")
    texts = [text for pair in PAIRS for text in pair] * 4
    joint_bpe(texts, 120, lowercase=True, special=[">>de<<"]).save(str(folder / "tokenizer.json"))
    write_pairs(folder, "train", PAIRS)
    return folder


def test_padding_changes_no_loss(work: Path) -> None:
    torch.manual_seed(1)
    network, pairs = Marian(SHAPE).eval(), Pairs.read(work, "train", 20)
    with torch.no_grad():
        batched = translation.logits_of(network, pairs.collate([0, 3], 0.0))
        alone = torch.cat([translation.logits_of(network, pairs.collate([index], 0.0)) for index in (0, 3)])
        metrics = translation.score(network, pairs)
    torch.testing.assert_close(batched, alone, atol=1e-5, rtol=1e-4)
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["entropy"] > 0
