from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from hearth_build.onnx_export.attention import NAME, attention, fused


def test_arguments_that_change_the_result_are_refused() -> None:
    query = torch.zeros(1, 2, 3, 4)
    with pytest.raises(NotImplementedError, match="attention with softcap"):
        attention(nn.Module(), query, query, query, None, softcap=30.0)


def test_the_result_has_the_shape_that_transformers_expects() -> None:
    query, key = torch.zeros(2, 4, 3, 8), torch.zeros(2, 2, 5, 8)  # two heads share keys
    attended, weights = attention(nn.Module(), query, key, key, None, dropout=0.0, softcap=None)
    assert attended.shape == (2, 3, 4, 8)
    assert weights is None


def test_only_transformers_own_attention_is_replaced_and_only_meanwhile() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    kinds = ("eager", "sdpa")
    for layer, kind in zip(network, kinds, strict=False):
        layer.config = SimpleNamespace(_attn_implementation=kind)
    with fused(network):
        assert [network[index].config._attn_implementation for index in range(2)] == [NAME, "sdpa"]
    assert [network[index].config._attn_implementation for index in range(2)] == ["eager", "sdpa"]
