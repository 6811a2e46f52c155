from __future__ import annotations

import torch

from hearth_build.networks.word_vectors import WordVectors


def test_words_have_their_vectors_and_masked_ones_none() -> None:
    network = WordVectors(torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
    vectors = network(torch.tensor([[1, 2, 1]]), torch.tensor([[1, 1, 0]]))
    assert vectors.dtype == torch.float32
    assert vectors.tolist() == [[[1, 2], [3, 4], [0, 0]]]
