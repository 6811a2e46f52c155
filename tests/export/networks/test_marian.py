"""The translator's network: padding has no influence."""

from __future__ import annotations

from pathlib import Path

import torch

from hearth_build.data import translation
from hearth_build.data.translation import Pairs
from hearth_build.networks.marian import Marian
from tests.export.toy_translation import SHAPE


def test_padding_changes_no_loss(translation_work: Path) -> None:
    torch.manual_seed(1)
    network, pairs = Marian(SHAPE).eval(), Pairs.read(translation_work, "train", 20)
    with torch.no_grad():
        batched = translation.logits_of(network, pairs.collate([0, 3], 0.0))
        alone = torch.cat([translation.logits_of(network, pairs.collate([index], 0.0)) for index in (0, 3)])
        metrics = translation.score(network, pairs)
    torch.testing.assert_close(batched, alone, atol=1e-5, rtol=1e-4)
    assert 0 <= metrics["accuracy"] <= 1
    assert metrics["entropy"] > 0
