"""Names, kinds and labels of metrics follow Prometheus' conventions."""

from __future__ import annotations

import re

from hearth.telemetry.json_format import METRICS as CLOUDWATCH
from hearth.telemetry.json_format import RARE_METRICS
from hearth.telemetry.metric_table import METRICS


def test_names_units_and_labels_follow_the_conventions() -> None:
    for name, metric in METRICS.items():
        assert re.fullmatch(r"hearth_[a-z_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert metric.description.endswith(".")
        assert "le" not in metric.labels
        assert len(metric.labels) <= 3


def test_metrics_of_cloudwatch_exist() -> None:
    named = {metric.cloudwatch for metric in METRICS.values() if metric.cloudwatch}
    assert named <= {*CLOUDWATCH, *RARE_METRICS}
    assert set(RARE_METRICS) <= named
