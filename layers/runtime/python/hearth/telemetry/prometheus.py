"""The statistics of this process in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hearth import __version__
from hearth.telemetry.statistics import BOUNDS, Record

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""Suffix of the metric's name, labels, value."""


def render(records: Mapping[tuple[str, str], Record], loaded: int) -> str:
    """The metrics of all models; `records` has those of one caller by model and version, `loaded` the number of models
    in memory.

    Names and units follow Prometheus' conventions. Labels are models and versions only, so the number of series is
    that of the models that were called.
    """
    rows = [({"model": model, "version": version}, record) for (model, version), record in sorted(records.items())]
    metrics: list[tuple[str, str, str, Iterable[Sample]]] = [
        ("hearth_info", "gauge", "Version of the server.", [("", {"version": __version__}, 1)]),
        ("hearth_models_loaded", "gauge", "Models in memory.", [("", {}, loaded)]),
        ("hearth_requests_total", "counter", "Finished requests.", (s for row in rows for s in _outcomes(*row))),
        (
            "hearth_request_duration_seconds",
            "histogram",
            "Time from the first byte of a request to the end of its response.",
            (sample for row in rows for sample in _durations(*row)),
        ),
        (
            "hearth_step_duration_seconds_total",
            "counter",
            "Time of the steps of successful requests.",
            (sample for row in rows for sample in _steps(*row)),
        ),
        ("hearth_items_total", "counter", "Texts, pictures and recordings.", [("", *_items(*row)) for row in rows]),
        ("hearth_tokens_total", "counter", "Tokens read and generated.", (s for row in rows for s in _tokens(*row))),
    ]
    return "".join(f"{line}\n" for metric in metrics for line in _lines(*metric))


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


def _lines(name: str, kind: str, description: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {description}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())  # names of models need no escape
        yield f"{name}{suffix}{{{pairs}}} {value:.12g}" if pairs else f"{name}{suffix} {value:.12g}"
