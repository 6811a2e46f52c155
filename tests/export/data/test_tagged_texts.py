from __future__ import annotations

import torch
from torch import nn

from hearth_build.data.tagged_texts import IGNORE_INDEX, TaggedTexts, character_tokenizer, predict_labels


def test_every_character_is_a_token_with_its_place() -> None:
    tokenizer = character_tokenizer(["Oslo o", "ｌ s"])
    encoding = tokenizer.encode("OS\tlx")
    assert encoding.tokens == ["o", "s", " ", "l", "[UNK]"], "wide and capital letters are the same, x is unknown"
    assert encoding.offsets == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]


def test_rare_characters_are_unknown_tokens() -> None:
    assert character_tokenizer(["aab"]).token_to_id("b") is None


def test_labels_are_padded_with_what_the_loss_ignores() -> None:
    batch = TaggedTexts([[2, 3, 4], [5]], {}, [[1, 0, 2], [3]]).collate([0, 1], 0.0)
    assert batch["labels"].tolist() == [[1, 0, 2], [3, IGNORE_INDEX, IGNORE_INDEX]]
    assert batch["input_ids"].shape == (2, 3)


class Identity(nn.Module):
    """The label of a token is its number."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return nn.functional.one_hot(input_ids, 9).float()


def test_labels_are_predicted_for_each_token_in_the_order_of_the_rows() -> None:
    rows = [[4, 2], [7], [1, 8]]
    assert predict_labels(Identity(), rows) == rows
