from __future__ import annotations

import random
from pathlib import Path

import torch

from hearth_build.data.text import pad
from hearth_build.recipes.sentiment_zh import data
from hearth_build.recipes.sentiment_zh.network import NgramClassifier


def test_padding_changes_no_logits_and_order_does() -> None:
    torch.manual_seed(0)
    network = NgramClassifier()
    torch.nn.init.normal_(network.table.weight)
    with torch.no_grad():
        together, alone = network(**pad([[5, 6, 7, 8], [5, 6]])), network(**pad([[5, 6]]))
        turned = network(**pad([[6, 5]]))
    torch.testing.assert_close(together[1:], alone)
    assert not torch.allclose(alone, turned)


def test_an_untrained_teacher_has_no_preference() -> None:
    assert NgramClassifier()(**pad([[5, 6]])).tolist() == [[0.0, 0.0]]


def test_reviews_without_a_text_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('label,review\n1," 房间很好 "\n0,\n', encoding="utf-8")
    assert data.read_reviews(tmp_path / "a.csv") == [("房间很好", 1)]


def test_parts_and_joined_halves_are_added() -> None:
    reviews = ["房间很好服务也很好", "太吵了晚上睡不着觉"]
    augmented = data.augment(reviews, random.Random(1))
    assert len(augmented) == 4
    assert all(part in "".join(reviews) for part in augmented[::2])
