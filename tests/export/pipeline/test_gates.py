from __future__ import annotations

import pytest

from hearth_build.pipeline.evaluation import evaluation_of
from hearth_build.pipeline.gates import choose_provider, gate_failures, golden_tolerance, require_provider
from hearth_build.pipeline.measurements import DIFFERENCE, Measurements
from hearth_build.recipe import Gate, RecipeError

EVALUATION = evaluation_of("text-classification")
GATE = Gate(metric=0.7, quantization_loss=0.05, difference=0.5, bytes=1)


def measured(**served: float) -> Measurements:
    metrics = {
        "torch": {"accuracy": 0.95, DIFFERENCE: 0.0},
        "fp32": {"accuracy": 0.95, DIFFERENCE: 0.0, "milliseconds": 20.0},
        "served": {"accuracy": 0.94, DIFFERENCE: 0.1, "milliseconds": 10.0, **served},
        "openvino": {"accuracy": 0.80, DIFFERENCE: 0.1, "milliseconds": 1.0},
    }
    return Measurements(metrics, {"served": [], "openvino": []})


def test_a_model_within_its_gates_has_no_failures() -> None:
    assert gate_failures(GATE, EVALUATION, measured(), "served") == []


@pytest.mark.parametrize(
    ("served", "failure"),
    [
        ({"accuracy": 0.6}, "accuracy 0.6000 is below 0.7"),
        ({"accuracy": 0.8}, "quantization costs 0.1500 of accuracy; at most 0.05 is allowed"),
        ({DIFFERENCE: 0.6}, "golden outputs differ by 0.600 from the reference model's; at most 0.5 is allowed"),
    ],
)
def test_a_missed_gate_is_named(served: dict[str, float], failure: str) -> None:
    assert failure in gate_failures(GATE, EVALUATION, measured(**served), "served")
    tolerant = Gate(metric=0.7, quantization_loss=0.05, difference=0.5, bytes=1, accepts_rounding=True)
    assert gate_failures(tolerant, EVALUATION, measured(**served), "served") == []


def test_a_wrong_export_and_an_unexpected_output_are_refused_in_any_precision() -> None:
    tolerant = Gate(metric=0.7, quantization_loss=0.05, difference=0.5, bytes=1, accepts_rounding=True)
    measurements = measured()
    measurements.metrics["fp32"][DIFFERENCE] = 0.02
    measurements.mismatches["served"] = ["'fine' is negative, not positive"]
    assert gate_failures(tolerant, EVALUATION, measurements, "served") == [
        "unexpected output: 'fine' is negative, not positive",
        "the exported graph is wrong: its golden outputs differ by 0.02 from the torch model's",
    ]


def test_another_provider_that_misses_a_gate_is_not_chosen() -> None:
    kind, reason = choose_provider(GATE, EVALUATION, measured(), "openvino")
    assert kind == "served"
    assert "openvino misses a gate and was not chosen: quantization costs 0.1500 of accuracy" in reason


def test_golden_answers_are_replayed_with_the_tolerance_of_the_gate_or_more() -> None:
    assert golden_tolerance(GATE, 0.1) == 0.5
    assert golden_tolerance(GATE, 0.8) == 1.0


def test_a_provider_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    require_provider("cpu")
    with pytest.raises(RecipeError, match="pip install onnxruntime-openvino"):
        require_provider("openvino")
