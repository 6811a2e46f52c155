from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from safetensors.torch import load_file, save_file

from hearth_build.importing.source import Source
from hearth_build.importing.transformers_models import POOLER, load_model
from hearth_build.recipe import RecipeError
from tests.functions import checkpoints

VIT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32}


def without(folder: Path, part: str) -> None:
    """Remove the weights whose names contain `part` from a folder."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    kept = {name: value for name, value in weights.items() if part not in name}
    assert len(kept) < len(weights)
    save_file(kept, path, metadata={"format": "pt"})


def source(folder: Path, name: str) -> Source:
    return Source(folder, "tiny", {"architectures": [name], "model_type": "bert"})


def test_classes_that_transformers_does_not_have_and_folders_without_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"a NoSuchClass, which transformers .* does not have"):
        load_model(source(tmp_path, "NoSuchClass"))
    with pytest.raises(RecipeError, match=r"does not fit config\.json"):
        load_model(source(tmp_path, "ViTForImageClassification"))


def test_a_head_without_weights_is_refused(tmp_path: Path) -> None:
    transformers.ViTForImageClassification(transformers.ViTConfig(**VIT)).save_pretrained(tmp_path)
    load_model(source(tmp_path, "ViTForImageClassification"))
    without(tmp_path, "classifier")
    with pytest.raises(RecipeError, match=r"ViTForImageClassification needs classifier.bias, classifier.weight"):
        load_model(source(tmp_path, "ViTForImageClassification"))


def test_a_pooler_may_be_missing_only_where_it_is_not_read(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, "BertForSequenceClassification")
    without(tmp_path, "pooler")
    load_model(source(tmp_path, "BertForSequenceClassification"), "AutoModel", unread=POOLER)
    with pytest.raises(RecipeError, match=r"BertForSequenceClassification needs bert.pooler.dense.bias"):
        load_model(source(tmp_path, "BertForSequenceClassification"))
