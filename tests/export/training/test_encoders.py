from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hearth_build.data.text import pad
from hearth_build.networks.bert import Encoder
from hearth_build.recipe import RecipeError
from hearth_build.training.encoders import open_encoder
from tests.export.training.checkpoints import save_encoder


def test_a_bert_becomes_our_own_network_with_the_same_vectors(tmp_path: Path) -> None:
    import transformers

    checkpoint = open_encoder(str(save_encoder(tmp_path)))
    network = checkpoint.load().eval()
    assert isinstance(network, Encoder)
    batch = pad([[2, 10, 11, 3], [2, 12, 3]])
    reference = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        expected = reference(**batch).last_hidden_state
        torch.testing.assert_close(network(**batch)[:, :3], expected[:, :3], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["roberta", "mpnet", "electra", "deberta-v2", "distilbert"])
def test_other_families_are_transformers_own_networks(family: str, tmp_path: Path) -> None:
    checkpoint = open_encoder(str(save_encoder(tmp_path, family)))
    batch = pad([[2, 10, 11, 3], [2, 12, 3]], checkpoint.pad_id)
    assert checkpoint.load()(**batch).shape == (2, 4, 32)


def test_a_decoder_is_refused(tmp_path: Path) -> None:
    save_encoder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    with pytest.raises(RecipeError, match="is a llama; this task needs a text encoder"):
        open_encoder(str(tmp_path))
