from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from hearth.models.heads import Ranking
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.training.served_network import ServedNetwork
from tests.export.training.checkpoints import word_tokenizer


class Sums(nn.Module):
    def __init__(self, several: bool) -> None:
        super().__init__()
        self.several, self.dropout = several, nn.Dropout(0.9)

    def forward(self, input_ids: torch.Tensor) -> Any:
        sums = self.dropout(input_ids.sum(1, keepdim=True).float())
        return (sums, -sums) if self.several else sums


def served(several: bool = False) -> ServedNetwork:
    preprocessing = TextPreprocessing(tokenizer="tokenizer.json", max_tokens=4)
    return ServedNetwork(Sums(several), ["input_ids"], word_tokenizer(("fine",)), preprocessing, Ranking())


def test_outputs_are_those_of_the_network_without_dropout() -> None:
    feeds = {"input_ids": np.array([[1, 2], [3, 4]])}
    assert [output.tolist() for output in served().run(feeds)] == [[[3.0], [7.0]]]
    assert len(served(several=True).run(feeds)) == 2


def test_texts_are_cut_and_the_tokenizer_of_the_training_is_not_changed() -> None:
    tokenizer = word_tokenizer(("fine",))
    preprocessing = TextPreprocessing(tokenizer="tokenizer.json", max_tokens=4)
    model = ServedNetwork(Sums(False), ["input_ids"], tokenizer, preprocessing, Ranking())
    assert len(model.tokenizer.encode("fine fine fine fine").ids) == 4
    assert tokenizer.truncation is None
    assert model.input_names == {"main": ("input_ids",)}
