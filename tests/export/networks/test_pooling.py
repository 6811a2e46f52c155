"""Every mode of pooling, and dense layers, against sentence-transformers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the export extra (torch) is not installed")

from sentence_transformers.sentence_transformer.modules import Dense, Pooling  # noqa: E402

from hearth_build.importing.pooling import MODES  # noqa: E402
from hearth_build.networks.pooling import PoolingNetwork  # noqa: E402

TOKENS = torch.randn(3, 7, 16, generator=torch.Generator().manual_seed(1))
MASK = (torch.arange(7) < torch.tensor([[7], [4], [1]])).long()
FEATURES = {"token_embeddings": TOKENS, "attention_mask": MASK, "cls_token_embeddings": TOKENS[:, 0]}


@pytest.mark.parametrize("mode", [name.removesuffix("_tokens").removesuffix("_token") for name in MODES])
def test_a_mode_gives_sentence_transformers_vectors(mode: str) -> None:
    names = {"mean_sqrt_len": "mean_sqrt_len_tokens"}
    pooling = Pooling(16, pooling_mode=names.get(mode, mode))
    method = next(short for name, short in MODES.items() if name.startswith(mode))
    expected = pooling(dict(FEATURES))["sentence_embedding"]
    torch.testing.assert_close(PoolingNetwork([method], [])(TOKENS, MASK), expected)


def test_a_dense_layer_follows_the_concatenated_vectors() -> None:
    dense = Dense(32, 4, activation_function=torch.nn.Tanh())
    config = {"in_features": 32, "out_features": 4, "activation_function": "torch.nn.modules.activation.Tanh"}
    network = PoolingNetwork(["mean", "max"], [(config, dense.state_dict())])
    pooled = torch.cat([PoolingNetwork([method], [])(TOKENS, MASK) for method in ("mean", "max")], 1)
    expected = dense({"sentence_embedding": pooled})["sentence_embedding"]
    torch.testing.assert_close(network(TOKENS, MASK), expected)


def test_an_unknown_activation_is_named() -> None:
    with pytest.raises(ValueError, match="PReLU"):
        PoolingNetwork(["mean"], [({"in_features": 2, "out_features": 2, "activation_function": "torch.nn.PReLU"}, {})])
