"""What a model must achieve to be served, and the choice between two providers that run it."""

from __future__ import annotations

import onnxruntime

from hearth.models.manifest import Provider
from hearth.models.model import OPENVINO
from hearth_build.pipeline.evaluation import Evaluation
from hearth_build.pipeline.measurements import DIFFERENCE, Measurements
from hearth_build.recipe import Gate, RecipeError

MAX_EXPORT_DIFFERENCE = 0.01
"""Largest difference of the fp32 graph's golden outputs from the torch model's: more is a wrong export."""
MIN_SPEEDUP = 1.1
"""Minimum speed of another provider relative to the default one: it is larger and loads more slowly."""


def require_provider(provider: Provider) -> None:
    """Raises RecipeError if the installed ONNX Runtime does not have this provider."""
    if provider == "openvino" and OPENVINO not in onnxruntime.get_available_providers():
        raise RecipeError(
            "This ONNX Runtime has no OpenVINO. Run pip uninstall onnxruntime, then pip install onnxruntime-openvino."
        )


def choose_provider(
    gate: Gate, evaluation: Evaluation, measurements: Measurements, provider: Provider
) -> tuple[str, str]:
    """Choose between the default provider ("served") and `provider`; returns the choice and the reason, without a
    full stop."""
    default, other = (measurements.metrics[kind]["milliseconds"] for kind in ("served", provider))
    times = f"{other:.3g} ms with the provider {provider}, {default:.3g} ms with ONNX Runtime's default provider"
    if failures := gate_failures(gate, evaluation, measurements, provider):
        return "served", f"{times}; {provider} misses a gate and was not chosen: {'; '.join(failures)}"
    if default < MIN_SPEEDUP * other:
        return "served", f"{times}; {provider} was not chosen because it is not {MIN_SPEEDUP} times as fast"
    return provider, f"{times}; {provider} was chosen"


def gate_failures(gate: Gate, evaluation: Evaluation, measurements: Measurements, kind: str) -> list[str]:
    """The reasons why the model of this kind must not be served."""
    failures = [f"unexpected output: {mismatch}" for mismatch in measurements.mismatches[kind]]
    served, fp32 = measurements.metrics[kind], measurements.metrics["fp32"]
    if "torch" in measurements.metrics and fp32[DIFFERENCE] > MAX_EXPORT_DIFFERENCE:
        failures.append(
            f"the exported graph is wrong: its golden outputs differ by {fp32[DIFFERENCE]:.3g} from the torch model's"
        )
    if gate.accepts_rounding:
        return failures
    metric = evaluation.metric
    if metric in served:
        if evaluation.loss(gate.metric, served[metric]) > 0:
            side = "below" if evaluation.higher_is_better else "above"
            failures.append(f"{metric} {served[metric]:.4f} is {side} {gate.metric}")
        loss = evaluation.loss(fp32[metric], served[metric])
        if loss > gate.quantization_loss:
            failures.append(f"quantization costs {loss:.4f} of {metric}; at most {gate.quantization_loss} is allowed")
    if served[DIFFERENCE] > gate.difference:
        difference = f"{served[DIFFERENCE]:.3f}"
        failures.append(
            f"golden outputs differ by {difference} from the reference model's; at most {gate.difference} is allowed"
        )
    return failures


def golden_tolerance(gate: Gate, difference: float) -> float:
    """The tolerance for replays of golden answers; beyond the gate it leaves room for another processor's rounding."""
    return gate.difference if difference <= gate.difference else 1.25 * difference
