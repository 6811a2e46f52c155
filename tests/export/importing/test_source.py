"""What `hearth import` is given: each wrong thing is named, with a way on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.importing.source import open_source
from hearth_build.recipe import RecipeError


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model.gguf", "llama.cpp"),
        ("pytorch_model.bin", "safetensors"),
        ("best.pt", "torch.onnx.export"),
        ("model.joblib", "skl2onnx"),
        ("model.tflite", "tf2onnx"),
        ("model.tar", "Unpack"),
        ("notes.txt", "neither .onnx nor .safetensors files, but notes.txt"),
    ],
)
def test_a_folder_of_another_format_says_what_it_has_and_a_way_on(tmp_path: Path, file: str, message: str) -> None:
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(RecipeError, match=message):
        open_source(str(tmp_path))


def test_a_file_of_another_format_says_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(RecipeError, match="Import the model that it was made from"):
        open_source(str(tmp_path / "model.gguf"))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(RecipeError, match=f"hearth import {tmp_path}"):
        open_source(str(tmp_path / "model.safetensors"))


def test_hidden_files_of_macos_are_no_weights(tmp_path: Path) -> None:
    for name in ("model.onnx", "._model.onnx", "model.safetensors", "._model.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    source = open_source(str(tmp_path))
    assert [path.name for path in (*source.graphs, *source.weights)] == ["model.onnx", "model.safetensors"]


def test_an_empty_folder_and_a_folder_of_models_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="is empty"):
        open_source(str(tmp_path))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "config.json").write_text("{}")
    with pytest.raises(RecipeError, match="its folders one do"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "model.onnx", "/no/such/folder", "a/b/c"])
def test_what_does_not_exist_is_named(name: str) -> None:
    with pytest.raises(RecipeError, match="does not exist"):
        open_source(name)
