"""Models of convolutions over tokens, whose answers depend on the padding of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers

from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.precision import build_import
from hearth_build.recipe import RecipeError
from tests.functions import checkpoints

SHAPE = {
    "vocab_size": len(checkpoints.VOCABULARY),
    "hidden_size": 32,
    "embedding_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": checkpoints.LENGTH,
    "initializer_range": 0.3,
}


def test_a_request_has_one_text_where_answers_depend_on_padding(tmp_path: Path) -> None:
    checkpoints.save_network(
        tmp_path / "source", "ConvBertForSequenceClassification", transformers.ConvBertConfig(**SHAPE)
    )
    imported = read(str(tmp_path / "source"), ImportOptions(name="reviews"))
    manifest, sentences = build_import(imported.recipe, imported.quantizers, tmp_path / "work", "test", "fp32")
    assert manifest.limits.batch == 1
    assert sentences == ["a request may have one text: the answers depend on padding"]


def test_attention_masks_padding_out(tmp_path: Path) -> None:
    config = {name: value for name, value in SHAPE.items() if name != "embedding_size"}
    checkpoints.save_network(tmp_path / "source", "BertForSequenceClassification", transformers.BertConfig(**config))
    imported = read(str(tmp_path / "source"), ImportOptions(name="reviews"))
    manifest, sentences = build_import(imported.recipe, imported.quantizers, tmp_path / "work", "test", "fp32")
    assert manifest.limits.batch > 1
    assert sentences == []


def test_a_task_that_runs_several_lengths_together_is_refused(tmp_path: Path) -> None:
    checkpoints.save_network(
        tmp_path / "source", "ConvBertForTokenClassification", transformers.ConvBertConfig(**SHAPE)
    )
    imported = read(str(tmp_path / "source"), ImportOptions(name="names"))
    with pytest.raises(RecipeError, match="answers depend on padding, and token-classification runs texts of several"):
        build_import(imported.recipe, imported.quantizers, tmp_path / "work", "test", "fp32")
