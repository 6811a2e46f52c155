from __future__ import annotations

import torch
from torch import Tensor, nn

from hearth_build.data.text import pad
from hearth_build.networks.text_heads import SpanPredictor, TextClassifier, TokenClassifier, linear


class Numbers(nn.Module):
    """The vector of a token is its number."""

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Tensor:
        return ids[:, :, None].float().expand(-1, -1, 4)


BATCH = pad([[2, 4, 6], [8]], pad_id=100)


def test_a_text_is_classified_by_the_mean_of_its_tokens() -> None:
    head = TextClassifier(Numbers(), 4, 3).eval()
    assert head.embed(**BATCH).tolist() == [[4.0] * 4, [8.0] * 4], "padding does not count"
    assert head(**BATCH).shape == (2, 3)


def test_each_token_has_its_logits() -> None:
    assert TokenClassifier(Numbers(), 4, 5).eval()(**BATCH).shape == (2, 3, 5)


def test_an_answer_has_two_edges() -> None:
    head = SpanPredictor(Numbers(), 4).eval()
    head.edges.weight.data = torch.tensor([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])
    start, end = head(**BATCH)
    assert start[0].tolist() == [2, 4, 6]
    assert end[0].tolist() == [-2, -4, -6]


def test_a_head_begins_without_preference() -> None:
    layer = linear(8, 3)
    assert layer.bias.abs().max() == 0
    assert layer.weight.abs().max() < 0.2
