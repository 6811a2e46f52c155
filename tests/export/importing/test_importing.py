"""Which importer reads a source; graphs are imported and published without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.onnx_export import file
from hearth_build.recipe import RecipeError
from tests.export.small_graph import SIDE, write_graph


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A classifier of pictures as optimum and Transformers.js leave it, with variants."""
    labels = {"0": "cat", "1": "dog", "2": "cow"}
    config = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "id2label": labels}
    processor = {
        "image_processor_type": "ViTImageProcessor",
        "size": {"height": 40, "width": 40},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    write_graph(tmp_path / "onnx" / "model_fp16.onnx", kind=TensorProto.FLOAT16)
    return tmp_path


def test_a_graph_in_a_folder_that_says_what_it_is_has_its_labels_and_the_size_of_the_graph(folder: Path) -> None:
    for source in (folder, folder / "onnx" / "model_fp16.onnx"):
        recipe = read(str(source), ImportOptions(name="net")).recipe
        assert recipe.task == "image-classification"
        assert recipe.labels == ("cat", "dog", "cow")
        assert (recipe.preprocessing.width, recipe.preprocessing.mean) == (SIDE, (0.5,) * 3)  # type: ignore[union-attr]


def test_flags_win_over_the_files_of_a_folder(folder: Path) -> None:
    options = ImportOptions(name="net", labels=Path("a,b,c"), pixels="unit", resize="shortest-edge-center-crop")
    recipe = read(str(folder), options).recipe
    assert recipe.labels == ("a", "b", "c")
    assert recipe.preprocessing.mean == (0.0,) * 3  # type: ignore[union-attr]
    assert recipe.preprocessing.resize == "shortest-edge-center-crop"  # type: ignore[union-attr]


def test_a_graph_in_half_precision_is_served_in_float32(folder: Path, tmp_path: Path) -> None:
    recipe = read(str(folder), ImportOptions(name="net")).recipe
    (tmp_path / "raw").mkdir()
    recipe.graphs["main"](None, tmp_path / "raw" / "model.onnx")
    description = file.describe(file.read(tmp_path / "raw" / "model.onnx"))
    assert [tensor.dtype for tensor in (*description.inputs, *description.outputs)] == ["float32", "float32"]


def test_the_task_tensors_takes_the_graph_of_any_folder(folder: Path) -> None:
    imported = read(str(folder), ImportOptions(task="tensors", name="net"))
    assert imported.recipe.task == "tensors"
    (folder / "onnx" / "model_fp16.onnx").unlink()
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(RecipeError, match=r"has no \.onnx file"):
        read(str(folder), ImportOptions(task="tensors", name="net"))


def test_a_graph_that_reads_no_pictures_is_called_by_its_tensors(tmp_path: Path) -> None:
    assert read(str(write_graph(tmp_path / "net.onnx", (1, 16))), ImportOptions()).recipe.task == "tensors"
    with pytest.raises(RecipeError, match="--task image-classification, object-detection, image-segmentation, or"):
        read(str(write_graph(tmp_path / "pictures.onnx")), ImportOptions())


def test_operator_sets_that_a_graph_imports_and_does_not_use_are_allowed(tmp_path: Path) -> None:
    session_options = onnxruntime.SessionOptions()
    session_options.optimized_model_filepath = str(tmp_path / "optimized.onnx")  # imports all that ONNX Runtime knows
    onnxruntime.InferenceSession(str(write_graph(tmp_path / "graph.onnx", (1, 16))), session_options)
    assert len(onnx.load(tmp_path / "optimized.onnx").opset_import) > 4
    assert read(str(tmp_path / "optimized.onnx"), ImportOptions()).recipe.task == "tensors"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "is not a valid ONNX file"),
        (b"", "is not a valid ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    ],
)
def test_a_file_that_is_no_graph_is_named_at_once(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read(str(tmp_path / "model.onnx"), ImportOptions())


def test_an_empty_folder_and_a_mixture_of_experts_have_their_own_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"is empty\. Give the folder of a model"):
        read(str(tmp_path), ImportOptions())
    config = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 4}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(RecipeError, match="mixture of experts"):
        read(str(tmp_path), ImportOptions())


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from pathlib import Path
from hearth.storage.open import open_store
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline.precision import build_import
from hearth_build.release.publish import publish
flags = {"pixels": "unit", "channels": "RGB", "resize": "stretch", "labels": Path("a,b,c")}
options = ImportOptions(task=sys.argv[2], name="net", **flags)
imported = read(sys.argv[1], options)
build_import(imported.recipe, imported.quantizers, Path("work"), "hearth import", "auto")
print(publish(open_store((Path.cwd() / "store").as_uri()), Path("work/artifact"), "prod").task)
"""


@pytest.mark.parametrize("task", ["tensors", "image-classification"])
def test_graphs_are_imported_and_published_without_torch(tmp_path: Path, task: str) -> None:
    path = write_graph(tmp_path / "net.onnx")
    command = [sys.executable, "-c", WITHOUT_TORCH, str(path), task]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.splitlines()[-1] == task
