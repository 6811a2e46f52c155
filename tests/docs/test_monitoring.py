"""The dashboard and the alert rules are those of the table of metrics, and name no metric that does not exist."""

from __future__ import annotations

import re

from hearth.telemetry.metric_table import METRICS
from tests.docs import monitoring


def test_the_files_are_current() -> None:
    advice = "run `python -m tests.docs`"
    assert monitoring.DASHBOARD.read_text(encoding="utf-8") == monitoring.dashboard(), advice
    assert monitoring.ALERTS.read_text(encoding="utf-8") == monitoring.alerts(), advice


def test_every_metric_and_label_of_an_expression_exists() -> None:
    text = monitoring.dashboard() + monitoring.alerts()
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"hearth_[a-z_]+", text)}
    assert names <= set(METRICS)
    for name, label in re.findall(r"(hearth_[a-z_]+)\{(\w+)=", monitoring.alerts()):
        assert label in METRICS[name].labels
