"""Folders as MLflow writes them, by hand: mlflow itself is not needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.importing.mlflow import locate
from hearth_build.importing.source import open_source
from hearth_build.recipe import RecipeError
from tests.support.artifacts import make_text_artifact

ONNX = """\
artifact_path: model
flavors:
  onnx:
    data: model.onnx
    onnx_version: 1.23.0
  python_function:
    loader_module: mlflow.onnx
"""
TRANSFORMERS = """\
flavors:
  transformers:
    model_binary: model
    components: [tokenizer]
    task: text-classification
"""


def mlmodel(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(text)
    return folder


def test_the_onnx_flavour_is_its_graph(tmp_path: Path) -> None:
    artifact = make_text_artifact(tmp_path / "store")
    folder = mlmodel(tmp_path / "run", ONNX)
    (folder / "model.onnx").write_bytes((artifact / "model.onnx").read_bytes())
    source = open_source(str(folder))
    assert source.graphs == (folder / "model.onnx",)


def test_the_transformers_flavour_is_model_and_tokenizer_together(tmp_path: Path) -> None:
    folder = mlmodel(tmp_path / "run", TRANSFORMERS)
    (folder / "model").mkdir()
    (folder / "components/tokenizer").mkdir(parents=True)
    (folder / "model/config.json").write_text('{"model_type": "bert"}')
    (folder / "model/model.safetensors").write_bytes(b"")
    (folder / "components/tokenizer/tokenizer.json").write_text("{}")
    source = open_source(str(folder))
    assert (source.model_type, source.title) == ("bert", "run")
    assert {path.name for path in source.folder.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json"}
    assert {path.name for path in folder.iterdir()} == {"MLmodel", "model", "components"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flavors:\n  sklearn: {pickled_model: model.pkl}\n", "skl2onnx"),
        ("flavors:\n  pytorch: {}\n", "mlflow.onnx.log_model"),
        ("flavors:\n  onnx: {data: ../../etc/passwd}\n", "has no ../../etc/passwd"),
        ("flavors:\n  onnx: {data: missing.onnx}\n", "has no missing.onnx"),
        ("not: [valid", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_other_flavours_and_broken_files_are_explained(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        locate(mlmodel(tmp_path / "run", text))
