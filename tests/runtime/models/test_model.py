"""The execution provider that a manifest names: used if it is installed, reported if it is not; how weights load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from msgspec import structs

from hearth.errors import ManifestError, Unavailable
from hearth.models import model as model_module
from hearth.models.manifest import Manifest, dump, parse
from hearth.models.model import OPENVINO, Model
from tests.support.artifacts import make_text_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_text_artifact(tmp_path)


def manifest(folder: Path) -> Manifest:
    return parse((folder / "manifest.json").read_bytes())


def test_the_default_provider_is_the_processor(folder: Path) -> None:
    assert manifest(folder).provider == "cpu"
    assert b"provider" not in dump(manifest(folder))
    assert Model(manifest(folder), folder, 1).session().get_providers() == ["CPUExecutionProvider"]


def test_an_unknown_provider_is_a_manifest_error(folder: Path) -> None:
    raw = dump(structs.replace(manifest(folder), provider="openvino")).replace(b'"openvino"', b'"abacus"')
    with pytest.raises(ManifestError, match="provider"):
        parse(raw)


def test_a_provider_that_is_not_installed_is_unavailable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(Unavailable, match="install onnxruntime-openvino"):
        Model(structs.replace(manifest(folder), provider="openvino"), folder, 1)


def test_an_installed_provider_gets_its_threads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested: list[object] = []
    inference_session = onnxruntime.InferenceSession

    def session(path: str, options: onnxruntime.SessionOptions, providers: list[object]) -> object:
        requested.extend(providers)
        return inference_session(path, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [OPENVINO, "CPUExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    model = Model(structs.replace(manifest(folder), provider="openvino"), folder, 2)
    assert requested[0] == (OPENVINO, {"device_type": "CPU", "num_of_threads": "2", "num_streams": "1"})
    tokens = np.ones((1, 3), np.int64)
    names = [tensor.name for tensor in model.manifest.graphs["main"].inputs]
    assert len(model.run(dict.fromkeys(names, tokens))) == 1


@pytest.mark.parametrize(
    ("threads", "largest", "is_parallel"), [(2, 1 << 20, True), (2, 0, False), (1, 1 << 20, False)]
)
def test_large_weights_are_not_repacked_by_all_threads_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, threads: int, largest: int, is_parallel: bool
) -> None:
    entries: list[str] = []

    class Options(onnxruntime.SessionOptions):  # type: ignore[misc]
        def add_session_config_entry(self, key: str, value: str) -> None:
            entries.append(key)
            super().add_session_config_entry(key, value)

    graph = folder / manifest(folder).graphs["main"].path
    graph.with_suffix(".bin").write_bytes(bytes(1000))
    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    monkeypatch.setattr(model_module, "PARALLEL_PREPACK_BYTES", largest)
    Model(manifest(folder), folder, threads)
    assert ("session.prepack.enable_parallel" in entries) == is_parallel


def test_numpy_is_imported_whole_before_onnx_runtime(folder: Path) -> None:
    """A thread that loads a model ahead and one that imports NumPy meanwhile broke both: 18 times of 72."""
    code = """
import sys
from pathlib import Path
from hearth.models.manifest import parse
from hearth.models.model import Model

class Recorder:
    names = []

    def find_spec(self, name, path=None, target=None):
        self.names.append(name)

folder = Path(sys.argv[1])
sys.meta_path.insert(0, Recorder())
Model(parse((folder / "manifest.json").read_bytes()), folder, 1)
assert Recorder.names.index("numpy") < Recorder.names.index("onnxruntime")
"""
    process = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
