from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from hearth_build.importing.decoders import read_config
from hearth_build.importing.source import open_folder
from hearth_build.importing.streamed_model import StreamedModel, return_freed_matrices, without_parameters
from hearth_build.importing.tensor_files import TensorFiles
from hearth_build.recipe import RecipeError
from tests.export.importing.decoder_checkpoints import save


def test_glibc_returns_freed_matrices() -> None:
    assert return_freed_matrices() == (platform.libc_ver()[0] == "glibc")


def streamed(folder: Path) -> StreamedModel:
    save(folder, "llama")
    source = open_folder(folder, "tiny")
    return StreamedModel(source, read_config(source), TensorFiles(folder))


def test_probabilities_are_those_of_transformers_and_weights_are_freed(tmp_path: Path) -> None:
    model = streamed(tmp_path)
    tokens = [3, 9, 12, 5, 7]
    actual = model.log_probabilities(tokens, 2)
    assert all(parameter.is_meta for parameter in model.model.parameters())
    reference = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = reference(torch.tensor([tokens])).logits.log_softmax(-1)[0, 2:].numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_a_checkpoint_without_one_of_its_tensors_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "llama")
    weights = load_file(tmp_path / "model.safetensors")
    name = next(name for name in weights if name.endswith("q_proj.weight"))
    shape = weights.pop(name).shape
    source = open_folder(tmp_path, "tiny")
    for changed, message in ((weights, f"has no {name}"), (weights | {name: torch.zeros(2, *shape[1:])}, "the shape")):
        save_file(changed, tmp_path / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(RecipeError, match=message):
            StreamedModel(source, read_config(source), TensorFiles(tmp_path))


def test_modules_have_memory_for_their_parameters_again_afterwards() -> None:
    with without_parameters():
        assert torch.nn.Linear(2, 2).weight.is_meta
    assert not torch.nn.Linear(2, 2).weight.is_meta
