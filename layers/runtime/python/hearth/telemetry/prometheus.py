"""The statistics of this process in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hearth import __version__
from hearth.telemetry.metric_table import METRICS, Metric
from hearth.telemetry.statistics import BOUNDS, Record, accuracy_interval

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""Suffix of the metric's name, labels, value."""


def render(
    records: Mapping[tuple[str, str], Record], loaded: int, drift: Mapping[tuple[str, str], Mapping[str, float]]
) -> str:
    """The metrics of all models; `records` has those of one caller by model and version, `loaded` the number of models
    in memory, `drift` the population stability index of each feature by model and version."""
    rows = [({"model": model, "version": version}, record) for (model, version), record in sorted(records.items())]
    samples: dict[str, Iterable[Sample]] = {
        "hearth_info": [("", {"version": __version__}, 1)],
        "hearth_models_loaded": [("", {}, loaded)],
        "hearth_requests_total": (sample for row in rows for sample in _outcomes(*row)),
        "hearth_request_duration_seconds": (sample for row in rows for sample in _durations(*row)),
        "hearth_step_duration_seconds_total": (sample for row in rows for sample in _steps(*row)),
        "hearth_items_total": [("", *_items(*row)) for row in rows],
        "hearth_tokens_total": (sample for row in rows for sample in _tokens(*row)),
        "hearth_drift_psi": [
            ("", {"model": model, "version": version, "feature": feature}, value)
            for (model, version), indices in sorted(drift.items())
            for feature, value in indices.items()
        ],
        "hearth_feedback_total": (sample for row in rows for sample in _verdicts(*row)),
        "hearth_feedback_accuracy": (sample for row in rows for sample in _accuracy(*row)),
    }
    return "".join(f"{line}\n" for name, metric in METRICS.items() for line in _lines(metric, samples[name]))


def _outcomes(labels: Labels, record: Record) -> Iterator[Sample]:
    yield "", {**labels, "outcome": "success"}, record.success.count
    yield "", {**labels, "outcome": "fail"}, record.fail.count


def _durations(labels: Labels, record: Record) -> Iterator[Sample]:
    total = 0
    for bound, count in zip((*BOUNDS, float("inf")), record.buckets, strict=True):
        total += count
        yield "_bucket", {**labels, "le": "+Inf" if bound == float("inf") else f"{bound:g}"}, total
    yield "_sum", labels, (record.success.ms + record.fail.ms) / 1000
    yield "_count", labels, total


def _steps(labels: Labels, record: Record) -> Iterator[Sample]:
    for name, duration in (("encode", record.input), ("run", record.infer), ("decode", record.output)):
        yield "", {**labels, "step": name}, duration.ms / 1000


def _items(labels: Labels, record: Record) -> tuple[Labels, float]:
    return labels, record.items


def _tokens(labels: Labels, record: Record) -> Iterator[Sample]:
    yield "", {**labels, "direction": "input"}, record.input_tokens
    yield "", {**labels, "direction": "output"}, record.output_tokens


def _verdicts(labels: Labels, record: Record) -> Iterator[Sample]:
    if record.right + record.wrong:
        yield "", {**labels, "verdict": "right"}, record.right
        yield "", {**labels, "verdict": "wrong"}, record.wrong


def _accuracy(labels: Labels, record: Record) -> Iterator[Sample]:
    if judged := record.right + record.wrong:
        for bound, value in zip(("low", "value", "high"), accuracy_interval(record.right, judged), strict=True):
            yield "", {**labels, "bound": bound}, value


def _lines(metric: Metric, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.description}"
    yield f"# TYPE {metric.name} {metric.kind}"
    for suffix, labels, value in samples:
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())  # names of models need no escape
        yield f"{metric.name}{suffix}{{{pairs}}} {value:.12g}" if pairs else f"{metric.name}{suffix} {value:.12g}"
