"""Text encoders whose graph is not simply their class's forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import transformers

from hearth.models.heads import Entailment, Mask
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.recipe import Recipe, RecipeError
from tests.functions import checkpoints

LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}
BART: dict[str, Any] = {
    "vocab_size": len(checkpoints.VOCABULARY),
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": checkpoints.LENGTH,
    "init_std": 0.3,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 3,
    "id2label": LABELS,
    "label2id": {label: index for index, label in LABELS.items()},
}


def exported(folder: Path, recipe: Recipe) -> onnxruntime.InferenceSession:
    assert recipe.network is not None
    recipe.graphs["main"](recipe.network(folder), folder / "graph.onnx")
    return onnxruntime.InferenceSession(str(folder / "graph.onnx"))


def test_a_bart_of_inference_reads_the_last_end_of_a_pair(tmp_path: Path) -> None:
    reference = checkpoints.save_network(tmp_path, "BartForSequenceClassification", transformers.BartConfig(**BART))
    recipe = read(str(tmp_path), ImportOptions(name="nli")).recipe
    assert recipe.task == "zero-shot-classification"
    assert recipe.head == Entailment(2, 0)
    ids = torch.tensor([[2, 9, 3, 3, 7, 8, 3], [2, 4, 3, 3, 9, 3, 0]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    with torch.no_grad():
        expected = reference(**feeds).logits.numpy()
    outputs = exported(tmp_path, recipe).run(None, {name: value.numpy() for name, value in feeds.items()})
    assert np.abs(outputs[0] - expected).max() < 1e-4
    assert np.abs(expected[0] - expected[1]).max() > 0.01


def test_the_encoder_of_a_t5_embeds_texts(tmp_path: Path) -> None:
    shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "initializer_factor": 2.0}
    config = transformers.T5Config(vocab_size=len(checkpoints.VOCABULARY), **shape)
    reference = checkpoints.save_network(tmp_path, "T5EncoderModel", config)
    recipe = read(str(tmp_path), ImportOptions(name="vectors")).recipe
    assert recipe.task == "feature-extraction"
    feeds = {"input_ids": torch.tensor([[9, 4, 8, 3]]), "attention_mask": torch.ones(1, 4, dtype=torch.int64)}
    with torch.no_grad():
        expected = reference(**feeds).last_hidden_state.numpy()
    outputs = exported(tmp_path, recipe).run(None, {name: value.numpy() for name, value in feeds.items()})
    assert np.abs(outputs[0] - expected).max() < 1e-4


def test_another_classifying_encoder_decoder_has_its_own_sentence(tmp_path: Path) -> None:
    shape = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    config = transformers.T5Config(vocab_size=len(checkpoints.VOCABULARY), **shape, id2label=LABELS)
    checkpoints.save_network(tmp_path, "T5ForSequenceClassification", config)
    network = read(str(tmp_path), ImportOptions(name="t5")).recipe.network
    assert network is not None
    with pytest.raises(RecipeError, match="T5ForSequenceClassification is not supported"):
        network(tmp_path)


def test_a_model_of_pretraining_fills_masks(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=len(checkpoints.VOCABULARY),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=checkpoints.LENGTH,
        initializer_range=0.3,
    )
    reference = checkpoints.save_network(tmp_path, "BertForPreTraining", config)
    recipe = read(str(tmp_path), ImportOptions(name="words")).recipe
    assert recipe.task == "fill-mask"
    assert isinstance(recipe.head, Mask)
    ids = torch.tensor([[2, 9, recipe.head.token_id, 7, 3]])
    feeds = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    with torch.no_grad():
        expected = reference(**feeds).prediction_logits[:, 2].numpy()
    outputs = exported(tmp_path, recipe).run(None, {name: value.numpy() for name, value in feeds.items()})
    assert np.abs(outputs[0] - expected).max() < 1e-4


def test_models_that_read_places_on_a_page_are_refused(tmp_path: Path) -> None:
    config = transformers.LayoutLMConfig(
        vocab_size=len(checkpoints.VOCABULARY),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        id2label=LABELS,
    )
    checkpoints.save_network(tmp_path, "LayoutLMForTokenClassification", config)
    recipe = read(str(tmp_path), ImportOptions(name="forms")).recipe
    assert recipe.network is not None
    with pytest.raises(RecipeError, match="reads the place of each word on its page"):
        recipe.network(tmp_path)
