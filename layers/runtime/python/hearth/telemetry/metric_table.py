"""The table of metrics, from which `GET /metrics`, the documents, the dashboard and the alert rules derive."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Metric(Struct, frozen=True):
    """Names and units follow Prometheus' conventions. Labels are bounded by the models that were called."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    labels: tuple[str, ...] = ("model", "version")
    cloudwatch: str = ""
    """Name of the metric that has the same numbers in CloudWatch, if there is one."""


METRICS = {
    metric.name: metric
    for metric in (
        Metric("hearth_info", "gauge", "Version of the server.", ("version",)),
        Metric("hearth_models_loaded", "gauge", "Models in memory.", ()),
        Metric("hearth_requests_total", "counter", "Finished requests.", ("model", "version", "outcome"), "Requests"),
        Metric(
            "hearth_request_duration_seconds",
            "histogram",
            "Time from the first byte of a request to the end of its response.",
            cloudwatch="Duration",
        ),
        Metric(
            "hearth_step_duration_seconds_total",
            "counter",
            "Time of the steps of successful requests.",
            ("model", "version", "step"),
        ),
        Metric("hearth_items_total", "counter", "Texts, pictures and recordings."),
        Metric("hearth_tokens_total", "counter", "Tokens read and generated.", ("model", "version", "direction")),
        Metric(
            "hearth_drift_psi",
            "gauge",
            "Population stability index of a feature against the evaluation, in this hour and the one before.",
            ("model", "version", "feature"),
            "Drift",
        ),
        Metric("hearth_feedback_total", "counter", "Answers judged by feedback.", ("model", "version", "verdict")),
        Metric(
            "hearth_feedback_accuracy",
            "gauge",
            "Share of judged answers that were right, with its 95 % interval.",
            ("model", "version", "bound"),
            "FeedbackAccuracy",
        ),
    )
}
"""All metrics by name."""
