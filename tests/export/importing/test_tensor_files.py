from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.tensor_files import TensorFiles, fingerprint
from hearth_build.recipe import RecipeError
from tests.export.importing.decoder_checkpoints import save


def test_damaged_weights_are_refused_with_advice(tmp_path: Path) -> None:
    save(tmp_path, "llama")
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    for content, message in (
        (whole[:-1], "is truncated"),
        (whole[:100], "header is cut off"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 1234\n", "git lfs pull"),
        (b"", "header is cut off"),
        ((8).to_bytes(8, "little") + b"notjson!", "header cannot be read"),
    ):
        path.write_bytes(content)
        with pytest.raises(RecipeError, match=message):
            read(str(tmp_path), ImportOptions(name="tiny"))
    path.write_bytes(whole)
    weights = load_file(path)
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in weights.items()}, path)
    with pytest.raises(RecipeError, match="not quantized"):
        read(str(tmp_path), ImportOptions(name="tiny"))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    save(tmp_path, "llama", max_shard_size="60KB")
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(RecipeError, match="model-00002-of"):
        read(str(tmp_path), ImportOptions(name="tiny"))


def test_tensors_are_read_one_at_a_time_in_float32(tmp_path: Path) -> None:
    weights = {
        "model.a": torch.randn(3, 4, dtype=torch.bfloat16),
        "b": torch.randn(2, dtype=torch.float16),
        "c": torch.randn(2, dtype=torch.float64),
    }
    save_file(weights, tmp_path / "model.safetensors")
    files = TensorFiles(tmp_path)
    for name, values in weights.items():
        loaded = files.load(name)
        assert loaded is not None
        assert torch.equal(torch.from_numpy(loaded), values.float())
    assert files.shape("transformer.b") == (2,), "a model saved without its head lacks the first part of the names"
    assert files.load("missing") is None
    assert files.read == set(weights)


def test_an_index_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(RecipeError, match="is not the index of a sharded checkpoint"):
        TensorFiles(tmp_path)


def test_the_fingerprint_changes_with_the_files_that_are_read(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    before = fingerprint(tmp_path)
    (tmp_path / "notes.txt").write_text("new")
    assert fingerprint(tmp_path) == before
    (tmp_path / "config.json").write_text("{}")
    assert fingerprint(tmp_path) != before
