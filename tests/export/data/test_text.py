from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from hearth_build.data.text import (
    MaskedTexts,
    accuracy,
    batches_by_length,
    distillation_loss,
    logits_of,
    pad,
    softened_loss,
    tokenize,
    wordpiece,
)


def test_tokens_are_cut_as_the_function_cuts_them(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfine\nroom\n##s")
    tokenizer = wordpiece(tmp_path / "vocab.txt")
    assert tokenize(tokenizer, ["Fine rooms here"], 10) == [[2, 5, 6, 7, 1, 3]]
    assert tokenize(tokenizer, ["Fine rooms here"], 4) == [[2, 5, 6, 3]], "the separator stays"


def test_batches_have_texts_of_similar_lengths() -> None:
    lengths = [3, 90, 4, 95, 5, 100]
    batches = batches_by_length(lengths, 3, (1, 0))
    assert sorted(map(sorted, batches)) == [[0, 2, 4], [1, 3, 5]]
    assert {len(batch) for batch in batches_by_length(lengths, 4, (1, 0))} == {3}, "none is much smaller"


def test_special_tokens_and_padding_are_never_masked() -> None:
    texts = MaskedTexts([[2, 7, 8, 3], [2, 9, 3]], {}, mask_id=4, vocabulary=20)
    for seed in range(30):
        torch.manual_seed(seed)
        batch = texts.collate([0, 1], 0.0)
        masked = batch["masked"]
        assert masked.any(), "an empty loss is not a number"
        assert not masked[torch.tensor([[1, 0, 0, 0], [1, 0, 1, 1]], dtype=torch.bool)].any()
        original = pad([[2, 7, 8, 3], [2, 9, 3]])["input_ids"]
        assert batch["targets"].tolist() == original[masked].tolist()
        assert (batch["input_ids"] == original)[~masked].all()


class Lengths(nn.Module):
    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return attention_mask.sum(1, keepdim=True).float()


def test_logits_are_in_the_order_of_the_rows() -> None:
    rows = [[1] * length for length in (5, 1, 3, 2)]
    assert logits_of(Lengths(), rows, size=2)[:, 0].tolist() == [5, 1, 3, 2]


def test_unknown_labels_are_learnt_from_the_teacher_alone() -> None:
    logits, teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    soft = softened_loss(logits, teacher)
    unknown = distillation_loss(logits, {"labels": torch.tensor([-1, -1]), "teacher": teacher})
    assert unknown.item() == pytest.approx(soft.item())
    known = distillation_loss(logits, {"labels": torch.tensor([0, -1]), "teacher": teacher})
    hard = functional.cross_entropy(logits[:1], torch.tensor([0])) / 2
    assert known.item() == pytest.approx((soft + 0.5 * hard).item())
    assert accuracy(logits, torch.tensor([0, 0])) == 0.5
