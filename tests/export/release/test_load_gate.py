"""What `hearth publish` accepts: files of known types, graphs that read only their own files, outputs within limits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hearth.errors import BadRequest
from hearth.models.manifest import Manifest
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.release import load_gate
from hearth_build.release.publish import publish
from tests.export.release.rewriting import write_golden, write_manifest
from tests.support.artifacts import make_text_artifact


def write_graph(folder: Path, nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> Manifest:
    """Replace the artifact's graph by one with the same inputs and outputs but other nodes."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ("batch", 3, 32, 32))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 3))
    graph = helper.make_graph(nodes, "main", [pixels], [logits], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return write_manifest(folder)


def test_a_valid_artifact_is_published(artifact: Path, tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    publish(store, artifact)
    assert "resnet20-cifar10/1/manifest.json" in store.list()


def test_golden_outputs_must_be_reproduced(artifact: Path, tmp_path: Path) -> None:
    golden = json.loads((artifact / "golden.json").read_text())
    golden["cases"][0]["answer"] = {"red": 0.1, "green": 0.8, "blue": 0.1}
    write_golden(artifact, golden)
    store = open_store((tmp_path / "store").as_uri())
    with pytest.raises(BadRequest, match=r"golden input 0 differs by 0\.\d+; at most 0.01 is allowed"):
        publish(store, artifact)
    (artifact / "golden.json").unlink()
    write_manifest(artifact)
    with pytest.raises(BadRequest, match=r"golden\.json is missing"):
        publish(store, artifact)
    assert store.list() == []


def external(**fields: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    for name, value in fields.items():
        tensor.external_data.add(key=name, value=value)
    return tensor


def matmul_with(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    mean = helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0)
    return [mean, helper.make_node("MatMul", ["colour", "w"], ["logits"])], [tensor]


def branch_with(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Hide the tensor in an attribute of a node in the branch of an If."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)])
    return [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], []


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (external(location="../model.bin"), "not a file of the manifest"),
        (external(location="/etc/passwd"), "not a file of the manifest"),
        (external(location="other.bin"), "not a file of the manifest"),
        (external(location="manifest.json"), "not a file of the manifest"),
        (external(location="./model.bin"), "not a file of the manifest"),
        (external(location="*/_ORT_MEM_ADDR_/*", offset="4096", length="36"), "not a file of the manifest"),
        (external(), "not a file of the manifest"),
        (external(location="model.bin", offset="999999999999"), "reads outside model"),
        (external(location="model.bin", offset="20", length="36"), "reads outside model"),
        (external(location="model.bin", length="-1"), "reads outside model"),
        (external(location="model.bin", offset="x"), "reads outside model"),
        (external(location="model.bin", length="36", basepath="/"), "reads outside model"),
    ],
)
@pytest.mark.parametrize("graph_with", [matmul_with, branch_with])
def test_a_graph_reads_only_files_of_its_artifact(
    artifact: Path, tensor: TensorProto, message: str, graph_with: Callable[[TensorProto], Any]
) -> None:
    files = write_graph(artifact, *graph_with(external(location="model.bin", offset="0", length="36"))).files
    load_gate.check_graph(artifact / "model.onnx", files)
    files = write_graph(artifact, *graph_with(tensor)).files
    with pytest.raises(BadRequest, match=message):
        load_gate.check_graph(artifact / "model.onnx", files)


def test_a_graph_has_only_onnx_operators(artifact: Path) -> None:
    nodes, tensors = matmul_with(external(location="model.bin", offset="0", length="36"))
    nodes.append(helper.make_node("Anything", ["pixels"], ["z"], domain="com.elsewhere"))
    with pytest.raises(BadRequest, match=r"operators of com\.elsewhere"):
        load_gate.check_graph(artifact / "model.onnx", write_graph(artifact, nodes, tensors).files)
    (artifact / "model.onnx").write_bytes(b"\x0a\xff not protobuf")
    with pytest.raises(BadRequest, match="not an ONNX graph"):
        load_gate.check_graph(artifact / "model.onnx", write_manifest(artifact).files)


def array(name: str, values: Any, dtype: int = TensorProto.INT64) -> TensorProto:
    values = np.asarray(values)
    return helper.make_tensor(name, dtype, values.shape, values.reshape(-1).tolist())


def large() -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Return nodes that take the mean of 2^33 floats."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceMean", ["huge"], ["one"], axes=[0], keepdims=1),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["colour", "one"], ["logits"]),
    ]
    return nodes, [array("size", [2**33])]


def endless() -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """Return a Loop of 10^12 iterations."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["goes"]),
            helper.make_node("Add", ["kept", "kept"], ["keeps"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("keeps", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("Loop", ["rounds", "true", "colour"], ["logits"], body=body),
    ]
    return nodes, [array("rounds", 10**12), array("true", True, TensorProto.BOOL)]


@pytest.mark.parametrize(
    ("bomb", "message"), [(large, "cannot be loaded and run within"), (endless, "s of CPU time|did not process")]
)
def test_a_graph_bomb_is_refused_by_the_checking_process(artifact: Path, bomb: Callable[[], Any], message: str) -> None:
    manifest = write_graph(artifact, *bomb())
    with pytest.raises(BadRequest, match=message):
        load_gate.admit(artifact, manifest, seconds=3)


@pytest.mark.parametrize(
    ("script", "message"),
    [("kill -SEGV $$", "crashes its process .SIGSEGV"), ("sleep 60", "did not process .* within 0.4 s")],
)
def test_a_crash_and_a_hang_have_different_messages(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    (fake := tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    with pytest.raises(BadRequest, match=message):
        load_gate.admit(artifact, write_manifest(artifact), seconds=0.2 if "sleep" in script else 5)


def test_a_missing_package_is_named(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake := tmp_path / "python").write_text("#!/bin/sh\necho sacrebleu\nexit 4\n")
    fake.chmod(0o755)
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    with pytest.raises(ModuleNotFoundError) as caught:
        load_gate.admit(artifact, write_manifest(artifact))
    assert caught.value.name == "sacrebleu"


def test_the_checking_process_has_no_credentials(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = tmp_path / "environment"
    (fake := tmp_path / "python").write_text(f"#!/bin/sh\nenv > {printed}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    load_gate.admit(artifact, write_manifest(artifact))
    assert "PYTHONPATH=" in printed.read_text()
    assert "s3cret" not in printed.read_text()


@pytest.fixture
def text_artifact(tmp_path: Path) -> Path:
    folder = make_text_artifact(tmp_path / "texts")
    (folder / "golden.json").write_text('{"tolerance": 1, "cases": []}')
    write_manifest(folder)
    return folder


def with_tokenizer(folder: Path, **changes: Any) -> Manifest:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return write_manifest(folder)


def test_a_usual_tokenizer_is_admitted(text_artifact: Path) -> None:
    load_gate.admit(text_artifact, with_tokenizer(text_artifact), seconds=60)


MALICIOUS: dict[str, dict[str, Any]] = {
    "multiplies": {"normalizer": {"type": "Replace", "pattern": {"String": "e"}, "content": "e " * 1000}},
    "multiplies a lot": {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10_000_000}},
    "backtracks": {
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "(a|a|b|b|aa)+$"},
            "behavior": "Isolated",
            "invert": False,
        }
    },
    "is none": {"model": {"type": "WordPiece"}},
}


@pytest.mark.parametrize("changes", MALICIOUS.values(), ids=MALICIOUS)
def test_a_malicious_tokenizer_is_refused(text_artifact: Path, changes: dict[str, Any]) -> None:
    manifest = with_tokenizer(text_artifact, **changes)
    with pytest.raises(BadRequest):
        load_gate.admit(text_artifact, manifest, seconds=10)


@pytest.mark.parametrize("model", ["translate-en-de", "ner-zh", "yolo-cells", "embeddings-en"])
def test_golden_answers_are_replayed_without_torch(model: str) -> None:
    """Publishing a finished artifact needs neither torch nor transformers."""
    (folder,) = (path for path in (ZOO / model).iterdir() if path.is_dir())
    code = (
        "import pathlib, sys; sys.modules['torch'] = sys.modules['transformers'] = None; "
        "from hearth_build.release.load_gate import replay_golden; replay_golden(pathlib.Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
