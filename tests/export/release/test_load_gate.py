"""What `hearth publish` lets in: files of known kinds, graphs that read their own files, answers within limits."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from hearth.errors import BadRequest
from hearth.models.download import describe
from hearth.models.manifest import Manifest, dump, parse
from hearth.models.model import Model
from hearth.storage.open import open_store
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.release import load_gate
from hearth_build.release.file_types import check_file_types
from hearth_build.release.publish import publish
from tests.support.artifacts import make_image_artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A sound artifact with golden.json, not in a store."""
    folder = make_image_artifact(tmp_path / "made")
    picture = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(picture, "png")
    evaluation = evaluation_of("image-classification")
    answer = evaluation.predict(Model(described(folder), folder, threads=1), picture.getvalue())
    inputs = {"base64": base64.b64encode(picture.getvalue()).decode()}
    write_golden(folder, {"tolerance": 0.01, "expected": {}, "cases": [{"inputs": inputs, "answer": answer}]})
    return folder


def write_golden(folder: Path, golden: dict[str, Any]) -> None:
    (folder / "golden.json").write_text(json.dumps(golden))
    described(folder)


def described(folder: Path) -> Manifest:
    """Write a manifest that fits what now lies in the folder."""
    path = folder / "manifest.json"
    files = tuple(describe(file) for file in sorted(folder.iterdir()) if file != path)
    manifest = msgspec.structs.replace(parse(path.read_bytes()), files=files)
    path.write_bytes(dump(manifest))
    return manifest


def write_graph(folder: Path, nodes: list[onnx.NodeProto], initializers: list[TensorProto]) -> Manifest:
    """In the place of the artifact's graph: the same inputs and outputs, other nodes."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ("batch", 3, 32, 32))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", 3))
    graph = helper.make_graph(nodes, "main", [pixels], [logits], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return described(folder)


def test_a_sound_artifact_goes_through_and_into_the_store(artifact: Path, tmp_path: Path) -> None:
    store = open_store((tmp_path / "store").as_uri())
    publish(store, artifact)
    assert "resnet20-cifar10/1/manifest.json" in store.list()


def test_golden_answers_must_come_again(artifact: Path, tmp_path: Path) -> None:
    golden = json.loads((artifact / "golden.json").read_text())
    golden["cases"][0]["answer"] = {"red": 0.1, "green": 0.8, "blue": 0.1}
    write_golden(artifact, golden)
    store = open_store((tmp_path / "store").as_uri())
    with pytest.raises(BadRequest, match=r"golden input 0 differs by 0\.\d+; at most 0.01 is allowed"):
        publish(store, artifact)
    (artifact / "golden.json").unlink()
    described(artifact)
    with pytest.raises(BadRequest, match=r"golden\.json is missing"):
        publish(store, artifact)
    assert store.list() == []


def zipped() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("data.pkl", b"\x80\x02.")
    return packed.getvalue()


def array_of_objects() -> bytes:
    saved = io.BytesIO()
    np.save(saved, np.array([{}], dtype=object), allow_pickle=True)
    return saved.getvalue()


PICKLE = b"cos\nsystem\n(S'true'\ntR."
FOREIGN = [
    ("model.onnx", b"\x80\x04\x95\x0a\x00\x00\x00\x00\x00\x00\x00\x8c\x05hello\x94.", "pickle"),
    ("model.onnx", PICKLE, "pickle"),
    ("model.bin", b"\x80\x02}q\x00." + bytes(100), "pickle"),
    ("model.bin", zipped(), "zip"),
    ("model.onnx", zipped(), "zip"),
    ("model.bin", array_of_objects(), "NumPy"),
    ("model.onnx", b"\x18\0\0\0ORTM" + bytes(64), "ONNX Runtime's own format"),
    ("model.bin", b"\x1f\x8b" + bytes(64), "gzip"),
    ("model.bin", b"\x7fELF" + bytes(64), "program"),
    ("model.bin", b"\x89HDF\r\n\x1a\n" + bytes(64), "HDF5"),
    ("weights.pt", b"x", "must not contain"),
    ("weights.pkl", b"x", "must not contain"),
    ("model.pt2", b"x", "must not contain"),
    ("custom.so", b"x", "must not contain"),
    ("run.py", b"x", "must not contain"),
    ("model", b"x", "must not contain"),
    ("extra.json", b"{", "not JSON"),
    ("extra.json", b"[" * 100_000, "not JSON"),
    ("card.md", b"\xff\xfe", "not text"),
    ("card.txt", b"a\0b", "not text"),
    ("picture.png", b"GIF89a", "not a PNG"),
]


@pytest.mark.parametrize(("name", "data", "words"), FOREIGN, ids=[f"{name}-{words}" for name, _, words in FOREIGN])
def test_files_of_other_kinds_are_refused(artifact: Path, name: str, data: bytes, words: str) -> None:
    check_file_types(artifact, described(artifact))
    (artifact / name).write_bytes(data)
    with pytest.raises(BadRequest, match=words):
        check_file_types(artifact, described(artifact))


@pytest.mark.parametrize("data", [b".", b"." + bytes(100), b"\x80\x04" + bytes(range(256)), b"]." * 50, b""])
def test_weights_may_begin_with_any_byte(artifact: Path, data: bytes) -> None:
    (artifact / "model.bin").write_bytes(data + b"\x01\x02\x03")
    check_file_types(artifact, described(artifact))


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_are_refused(artifact: Path, tmp_path: Path, link: Callable[[Path, Path], None]) -> None:
    (artifact / "model.bin").rename(tmp_path / "elsewhere")
    link(artifact / "model.bin", tmp_path / "elsewhere")
    with pytest.raises(BadRequest, match="is a link"):
        publish(open_store((tmp_path / "store").as_uri()), artifact)


def external(**said: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3], data_location=TensorProto.EXTERNAL)
    for name, value in said.items():
        tensor.external_data.add(key=name, value=value)
    return tensor


def weighing(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    mean = helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0)
    return [mean, helper.make_node("MatMul", ["colour", "w"], ["logits"])], [tensor]


def hidden(tensor: TensorProto) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """The tensor as an attribute of a node in the branch of an If."""
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    branch = helper.make_graph([constant], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)])
    return [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], []


@pytest.mark.parametrize(
    ("tensor", "words"),
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
@pytest.mark.parametrize("where", [weighing, hidden])
def test_graphs_read_files_of_their_artifact_alone(
    artifact: Path, tensor: TensorProto, words: str, where: Callable[[TensorProto], Any]
) -> None:
    files = write_graph(artifact, *where(external(location="model.bin", offset="0", length="36"))).files
    load_gate.check_graph(artifact / "model.onnx", files)
    files = write_graph(artifact, *where(tensor)).files
    with pytest.raises(BadRequest, match=words):
        load_gate.check_graph(artifact / "model.onnx", files)


def test_graphs_have_operators_of_onnx_alone(artifact: Path) -> None:
    nodes, tensors = weighing(external(location="model.bin", offset="0", length="36"))
    nodes.append(helper.make_node("Anything", ["pixels"], ["z"], domain="com.elsewhere"))
    with pytest.raises(BadRequest, match=r"operators of com\.elsewhere"):
        load_gate.check_graph(artifact / "model.onnx", write_graph(artifact, nodes, tensors).files)
    (artifact / "model.onnx").write_bytes(b"\x0a\xff not protobuf")
    with pytest.raises(BadRequest, match="not an ONNX graph"):
        load_gate.check_graph(artifact / "model.onnx", described(artifact).files)


def array(name: str, values: Any, kind: int = TensorProto.INT64) -> TensorProto:
    values = np.asarray(values)
    return helper.make_tensor(name, kind, values.shape, values.reshape(-1).tolist())


def large() -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """2^33 floats, of which a mean is taken."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["huge"]),
        helper.make_node("ReduceMean", ["huge"], ["one"], axes=[0], keepdims=1),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("Add", ["colour", "one"], ["logits"]),
    ]
    return nodes, [array("size", [2**33])]


def endless() -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    """A Loop of 10^12 rounds."""
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
    ("bomb", "words"), [(large, "cannot be loaded and run within"), (endless, "s of CPU time|did not process")]
)
def test_graph_bombs_go_off_in_a_process_of_their_own(artifact: Path, bomb: Callable[[], Any], words: str) -> None:
    manifest = write_graph(artifact, *bomb())
    with pytest.raises(BadRequest, match=words):
        load_gate.admit(artifact, manifest, seconds=3)


@pytest.mark.parametrize(
    ("script", "words"),
    [("kill -SEGV $$", "crashes its process .SIGSEGV"), ("sleep 60", "did not process .* within 0.4 s")],
)
def test_a_crash_and_a_hang_are_told_apart(
    artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    (fake := tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    with pytest.raises(BadRequest, match=words):
        load_gate.admit(artifact, described(artifact), seconds=0.2 if "sleep" in script else 5)


def test_what_the_machine_lacks_is_named(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake := tmp_path / "python").write_text("#!/bin/sh\necho sacrebleu\nexit 4\n")
    fake.chmod(0o755)
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    with pytest.raises(ModuleNotFoundError) as caught:
        load_gate.admit(artifact, described(artifact))
    assert caught.value.name == "sacrebleu"


def test_the_process_has_no_credentials(artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    (fake := tmp_path / "python").write_text(f"#!/bin/sh\nenv > {told}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setattr(load_gate.sys, "executable", str(fake))
    load_gate.admit(artifact, described(artifact))
    assert "PYTHONPATH=" in told.read_text()
    assert "s3cret" not in told.read_text()
