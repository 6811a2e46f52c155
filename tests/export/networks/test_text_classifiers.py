"""Hashed n-grams: the network computes what the linear model was fitted on, whatever the padding."""

from __future__ import annotations

import numpy as np
import torch

from hearth_build.data.text import pad
from hearth_build.networks.text_classifiers import HashedNgrams
from hearth_build.training.linear import ngram_features


def test_logits_are_those_of_the_features_and_do_not_depend_on_padding() -> None:
    torch.manual_seed(0)
    network = HashedNgrams(buckets=4096, labels=3, length=3)
    rows = [[5, 9, 4, 17, 3, 5], [8, 2], [7]]
    weights, bias = network.weights.weight.detach().numpy(), network.bias.detach().numpy()
    expected = ngram_features(network, rows) @ weights + bias
    with torch.no_grad():
        batched = network(**pad(rows)).numpy()
    np.testing.assert_allclose(batched, expected, atol=1e-6)


def test_order_matters() -> None:
    network = HashedNgrams(buckets=4096, labels=2, length=2)
    first, second = (
        set(network.features(torch.tensor([row]), torch.ones(1, 2).long())[0][0].tolist()) for row in ([3, 4], [4, 3])
    )
    assert len(first & second) == 2
    assert first != second
