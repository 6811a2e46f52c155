"""From recipe to artifact: the graphs agree, the gates refuse, and the manifest describes the result."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hearth.models.download import describe
from hearth.models.manifest import parse
from hearth.models.model import Model
from hearth_build.data.datasets import OwnData
from hearth_build.data.text import pad
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.networks.bert import Classifier
from hearth_build.onnx_export import export
from hearth_build.pipeline import train, verify
from hearth_build.pipeline.build import Step, build, prepare
from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.recipe import Gate, GateError, Recipe, RecipeError
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


def test_weights_are_in_one_external_file_beside_the_graph(toy_work: Path) -> None:
    assert export.external_files(toy_work / "artifact" / "model.onnx") == {"model.bin"}
    inputs = export.describe(toy_work / "artifact").inputs
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in inputs] == [
        ("input_ids", "int64", ("batch", "sequence")),
        ("attention_mask", "int64", ("batch", "sequence")),
    ]


def test_the_served_graph_is_int8_and_close_to_fp32_with_any_padding(toy_work: Path) -> None:
    manifest = parse((toy_work / "artifact" / "manifest.json").read_bytes())
    served, fp32 = (Model(manifest, toy_work / name, threads=1) for name in ("artifact", "fp32"))
    ids = np.array([[2, 5, 6, 15, 3], [2, 9, 3, 0, 0]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    assert np.allclose(served.run(feeds)[0], fp32.run(feeds)[0], atol=0.3)
    alone = {"input_ids": ids[1:, :3], "attention_mask": np.ones((1, 3), np.int64)}
    assert np.allclose(fp32.run(feeds)[0][1], fp32.run(alone)[0][0], atol=1e-4)
    served = onnx.load(toy_work / "artifact" / "model.onnx", load_external_data=False)
    kinds = {node.op_type for node in served.graph.node}
    assert kinds & {"DynamicQuantizeMatMul", "MatMulIntegerToFloat"}
    weights = onnx.load(toy_work / "small-main.onnx").graph.initializer
    assert any(weight.data_type == onnx.TensorProto.INT8 and weight.dims[0] == 1040 for weight in weights)


def test_exported_attention_is_one_operator_and_equals_torchs(tmp_path: Path) -> None:
    network = Classifier(toy.SHAPE).eval()
    for weights in network.parameters():
        weights.data *= (
            20 if weights.dim() == 2 else 1
        )  # initial weights are so small that attention would not change the outputs
    example = {name: torch.ones((1, 8), dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    axes = {name: {0: "batch", 1: "sequence"} for name in example}
    export.traced(lambda: example, axes)(network, tmp_path / "raw.onnx")
    export.optimise(tmp_path / "raw.onnx", tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx", load_external_data=False).graph.node]
    assert kinds.count("MultiHeadAttention") == toy.SHAPE.layers
    assert kinds.count("LayerNormalization") == 1 + 2 * toy.SHAPE.layers
    rows = pad([[2, 9, 14, 7, 11, 12, 3], [2, 8, 3], [2, 3]])
    expected = network(**rows).detach().numpy()
    assert np.ptp(expected, axis=0).max() > 1e-3  # the rows differ, so that a missing mask would be noticed
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    (actual,) = session.run(None, {name: value.numpy() for name, value in rows.items()})
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_a_missed_gate_leaves_no_manifest(toy_work: Path) -> None:
    with pytest.raises(GateError, match="accuracy"):
        build(toy.recipe(accuracy=1.01), toy_work, "hearth build toy", Step.VERIFY)
    assert not (toy_work / "artifact" / "manifest.json").exists()
    assert (toy_work / "artifact" / "report.md").exists()
    build(toy.recipe(), toy_work, "hearth build toy", Step.VERIFY)
    assert (toy_work / "artifact" / "manifest.json").exists()


def test_a_step_out_of_order_error_names_the_step_to_run(tmp_path: Path) -> None:
    for step, previous in ((Step.TRAIN, "prepare"), (Step.EXPORT, "train"), (Step.QUANTIZE, "export")):
        with pytest.raises(RecipeError, match=f"--step {previous}"):
            build(toy.recipe(), tmp_path, "hearth build toy", step)


@pytest.mark.parametrize(("milliseconds", "chosen"), [(8.0, True), (9.5, False)])
def test_another_provider_is_chosen_if_it_is_faster(
    toy_work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, milliseconds: float, chosen: bool
) -> None:
    """The provider cannot be installed beside ONNX Runtime's own, so the latter runs both graphs here."""
    work = tmp_path / "toy"
    shutil.copytree(toy_work, work)
    monkeypatch.setattr("hearth_build.pipeline.verify.require_provider", lambda provider: None)
    monkeypatch.setattr("hearth.models.model._openvino", lambda threads: ["CPUExecutionProvider"])
    latencies = {"torch": 30.0, "fp32": 20.0, "served": 10.0, "openvino": milliseconds}
    monkeypatch.setattr(
        "hearth_build.pipeline.verify.measure_latency",
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


def test_another_provider_that_misses_a_gate_is_not_chosen() -> None:
    evaluation = evaluation_of("text-classification")
    metrics = {
        "fp32": {"accuracy": 0.95, verify.DIFFERENCE: 0.0, "milliseconds": 20.0},
        "served": {"accuracy": 0.94, verify.DIFFERENCE: 0.1, "milliseconds": 10.0},
        "openvino": {"accuracy": 0.80, verify.DIFFERENCE: 0.1, "milliseconds": 1.0},
    }
    measured = verify.Measurements(metrics, {"served": [], "openvino": []})
    gate = Gate(metric=0.7, quantization_loss=0.05, difference=0.5, bytes=1)
    kind, reason = verify.choose_provider(gate, evaluation, measured, "openvino")
    assert kind == "served"
    assert "openvino misses a gate and was not chosen: quantization costs 0.1500 of accuracy" in reason


def test_a_missing_provider_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="pip install onnxruntime-openvino"):
        build(toy.recipe(), tmp_path, "hearth build toy", provider="openvino")
    assert not list(tmp_path.iterdir())


def test_changed_inputs_run_a_complete_step_again(tmp_path: Path) -> None:
    prepared: list[str] = []
    tokenizer = tmp_path / "tokenizer.json"
    recipe = replace(toy.recipe(), inputs=(tokenizer,), prepare=lambda work: prepared.append(tokenizer.read_text()))
    for text in ("first", "first", "second", "second"):
        tokenizer.write_text(text)
        prepare(recipe, tmp_path)
    assert prepared == ["first", "second"]


def test_a_name_that_is_built_again_gets_the_new_tokenizer(tmp_path: Path) -> None:
    checkpoints = pytest.importorskip("tests.functions.checkpoints", reason="the export extra is not installed")
    ids = []
    for number in range(2):
        folder = tmp_path / f"hf{number}"
        checkpoints.save(folder, "BertForSequenceClassification")
        document = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = document["model"]["vocab"]
        first, second = list(vocabulary)[-2:]
        if number:
            vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
        (folder / "tokenizer.json").write_text(json.dumps(document))
        prepare(read(str(folder), ImportOptions(name="mine")).recipe, tmp_path)
        ids.append(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"][first])
    assert ids[0] != ids[1]


def test_a_stage_is_trained_again_for_other_data_or_settings(tmp_path: Path) -> None:
    toy.prepare(tmp_path)
    stage = toy.stage(epochs=1)
    weights = train.train(stage, tmp_path, seed=1, inputs="a")
    trained = weights.stat().st_mtime_ns
    assert train.train(stage, tmp_path, seed=1, inputs="a").stat().st_mtime_ns == trained
    for seed, inputs in ((1, "b"), (2, "b")):
        previous, trained = trained, train.train(stage, tmp_path, seed=seed, inputs=inputs).stat().st_mtime_ns
        assert trained > previous


def test_preparation_is_repeated_for_other_data(tmp_path: Path) -> None:
    prepared: list[str] = []

    def recipe(checksum: str) -> Recipe:
        sources = (OwnData(Path("reviews.csv"), checksum),)
        return replace(toy.recipe(), sources=sources, prepare=lambda work: prepared.append(checksum))

    for checksum in ("1", "1", "2"):
        prepare(recipe(checksum), tmp_path)
    assert prepared == ["1", "2"]
