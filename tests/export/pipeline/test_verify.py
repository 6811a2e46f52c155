"""The artifact of a recipe: its manifest describes it, and the gates refuse it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from hearth.models.download import describe
from hearth.models.manifest import parse
from hearth.models.model import OPENVINO
from hearth_build.pipeline.build import Step, build
from hearth_build.recipe import GateError
from tests.export import toy


def test_artifact_has_its_manifest_card_and_golden_answers(toy_work: Path) -> None:
    folder = toy_work / "artifact"
    manifest = parse((folder / "manifest.json").read_bytes())
    assert manifest.metrics.served["accuracy"] >= 0.9
    assert set(manifest.metrics.torch) == set(manifest.metrics.fp32) == set(manifest.metrics.served)
    assert {file.path for file in manifest.files} == {
        path.name for path in folder.iterdir() if path.name != "manifest.json"
    }
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    assert [case["inputs"] for case in golden["cases"]] == list(toy.recipe().golden())
    assert "| accuracy |" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_missed_gate_leaves_no_manifest(toy_work: Path) -> None:
    with pytest.raises(GateError, match="accuracy"):
        build(toy.recipe(accuracy=1.01), toy_work, "hearth build toy", Step.VERIFY)
    assert not (toy_work / "artifact" / "manifest.json").exists()
    assert (toy_work / "artifact" / "report.md").exists()
    build(toy.recipe(), toy_work, "hearth build toy", Step.VERIFY)
    assert (toy_work / "artifact" / "manifest.json").exists()


@pytest.mark.parametrize(("milliseconds", "chosen"), [(8.0, True), (9.5, False)])
def test_another_provider_is_chosen_if_it_is_faster(
    toy_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, milliseconds: float, chosen: bool
) -> None:
    """The provider cannot be installed beside ONNX Runtime's own, so the latter runs both graphs here."""
    work = tmp_path / "toy"
    shutil.copytree(toy_work, work)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: [OPENVINO])
    monkeypatch.setattr("hearth.models.model._openvino", lambda threads: ["CPUExecutionProvider"])
    latencies = {"torch": 30.0, "fp32": 20.0, "served": 10.0, "openvino": milliseconds}
    monkeypatch.setattr(
        "hearth_build.pipeline.measurements.measure_latency",
        lambda evaluation, models, value: {kind: latencies[kind] for kind in models},
    )
    folder = build(toy.recipe(), work, "hearth build toy", Step.VERIFY, "openvino")
    manifest = parse((folder / "manifest.json").read_bytes())
    assert manifest.provider == ("openvino" if chosen else "cpu")
    assert manifest.metrics.served["milliseconds"] == (8.0 if chosen else 10.0)
    assert manifest.metrics.served["accuracy"] >= 0.9
    sentence = (
        f"{milliseconds:g} ms with the provider openvino, 10 ms with ONNX Runtime's default provider; openvino was"
    )
    assert f"{sentence} {'chosen' if chosen else 'not chosen because it is not 1.1 times as fast'}." in (
        folder / "report.md"
    ).read_text(encoding="utf-8")
    fused = {node.op_type for node in onnx.load(folder / "model.onnx", load_external_data=False).graph.node}
    assert ("DynamicQuantizeMatMul" in fused) is not chosen, "the other provider fuses for itself"
    for file in manifest.files:
        assert describe(folder / file.path) == file
