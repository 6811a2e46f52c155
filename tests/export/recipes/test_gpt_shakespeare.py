from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from hearth_build.recipes.gpt_shakespeare import data
from hearth_build.recipes.gpt_shakespeare.recipe import loss


def test_windows_do_not_overlap_and_change_with_the_epoch() -> None:
    windows = data.Windows(torch.arange(100), 8)
    plan = windows.plan(0, 2, seed=1)
    starts = sorted(start for batch in plan for start in batch)
    assert len(set(starts)) == len(starts) >= 8
    assert {(second - first) % 8 for first, second in pairwise(starts)} == {0}
    assert (
        len({tuple(sorted(start for batch in windows.plan(epoch, 2, 1) for start in batch)) for epoch in range(6)}) > 1
    )
    batch = windows.collate([10, 20], 0.0)
    assert batch["ids"][1].tolist() == list(range(20, 29)), "with the token after them"


def test_any_byte_is_a_token() -> None:
    tokenizer = data.train_tokenizer("to be or not to be " * 50)
    assert tokenizer.decode(tokenizer.encode("Ödipus 🙂").ids) == "Ödipus 🙂"


def test_the_next_token_is_predicted() -> None:
    class Next(torch.nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return functional.one_hot((ids + 1) % 50, 50).float() * 100

    assert loss(Next(), {"ids": torch.arange(9)[None]}).item() == pytest.approx(0, abs=1e-5)
