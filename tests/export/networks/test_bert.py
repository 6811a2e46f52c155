from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hearth_build.data.text import pad
from hearth_build.networks.bert import Classifier, MaskedLanguageModel, read_shape, rename_weights
from tests.export import toy

CONFIG = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
}


def test_padding_changes_no_logits() -> None:
    torch.manual_seed(0)
    network = Classifier(replace(toy.SHAPE, dropout=0.0)).eval()
    with torch.no_grad():
        together, alone = network(**pad([[2, 9, 14, 3], [2, 3]])), network(**pad([[2, 3]]))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_masked_tokens_alone_are_predicted() -> None:
    network = MaskedLanguageModel(replace(toy.SHAPE, dropout=0.0)).eval()
    batch = pad([[2, 9, 4, 3], [2, 4, 3]])
    masked = batch["input_ids"] == 4
    assert network(**batch, masked=masked).shape == (2, toy.SHAPE.vocabulary)


def test_the_shape_is_read_from_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    shape = read_shape(tmp_path, labels=3)
    assert (shape.vocabulary, shape.hidden, shape.layers, shape.labels, shape.dropout) == (30, 8, 2, 3, 0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "only .bert. is supported"),
        ({"hidden_act": "relu"}, "hidden_act .gelu. and absolute positions"),
        ({"position_embedding_type": "relative_key"}, "absolute positions"),
    ],
)
def test_other_networks_are_refused(change: dict[str, str], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | change))
    with pytest.raises(ValueError, match=message):
        read_shape(tmp_path, labels=3)


def test_names_of_early_checkpoints_are_translated() -> None:
    weights = {"embeddings.LayerNorm.gamma": torch.ones(1), "embeddings.position_ids": torch.ones(1)}
    assert list(rename_weights(weights)) == ["bert.embeddings.LayerNorm.weight"]
    assert list(rename_weights({"bert.a.beta": torch.ones(1), "cls.bias": torch.ones(1)})) == [
        "bert.a.bias",
        "cls.bias",
    ]
