"""LoRA adapters: a merged model's outputs are those of its base with the update added by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
pytest.importorskip("transformers", reason="the export extra (transformers) is not installed")

import torch
from safetensors.torch import save_file

from hearth_build.importing.source import open_source
from hearth_build.recipe import RecipeError
from tests.functions import checkpoints

MODULE = "bert.encoder.layer.0.attention.self.query"


def save_adapter(folder: Path, base: str, **config: object) -> dict[str, torch.Tensor]:
    folder.mkdir()
    torch.manual_seed(1)
    prefix = f"base_model.model.{MODULE}"
    weights = {f"{prefix}.lora_A.weight": torch.randn(4, 32), f"{prefix}.lora_B.weight": torch.randn(32, 4)}
    weights["base_model.model.classifier.modules_to_save.weight"] = torch.randn(2, 32)
    save_file(weights, folder / "adapter_model.safetensors")
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(settings | config))
    return weights


@pytest.mark.parametrize(("options", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0)])
def test_an_adapter_is_merged_into_the_base_beside_it(tmp_path: Path, options: dict[str, bool], scale: float) -> None:
    network = checkpoints.save(tmp_path / "base", "BertForSequenceClassification")
    weights = save_adapter(tmp_path / "adapter", "someone/base", **options)
    source = open_source(str(tmp_path / "adapter"))
    merged = source.load_weights()
    a, b, classifier = weights.values()
    expected = network.state_dict()[f"{MODULE}.weight"] + scale * (b @ a)
    torch.testing.assert_close(merged[f"{MODULE}.weight"], expected)
    torch.testing.assert_close(merged["classifier.weight"], classifier)
    assert source.stem == "adapter"
    recipe = checkpoints.load(tmp_path / "adapter")
    assert (recipe.name, recipe.task) == ("adapter", "text-classification")


def test_an_adapter_without_its_base_says_what_is_missing(tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", "./nowhere/base")
    with pytest.raises(RecipeError, match=r"a LoRA adapter of \./nowhere/base, which is not beside it"):
        open_source(str(tmp_path / "adapter"))


@pytest.mark.parametrize(("change", "message"), [({"use_dora": True}, "DoRA"), ({"peft_type": "IA3"}, "IA3 adapter")])
def test_other_adapters_are_refused_by_name(tmp_path: Path, change: dict[str, object], message: str) -> None:
    checkpoints.save(tmp_path / "base", "BertForSequenceClassification")
    save_adapter(tmp_path / "adapter", "base", **change)
    with pytest.raises(RecipeError, match=message):
        open_source(str(tmp_path / "adapter"))
