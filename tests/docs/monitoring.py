"""The Grafana dashboard and the alert rules of docs/, derived from the table of metrics."""

from __future__ import annotations

import json
from typing import Any

import yaml

from hearth.telemetry.metric_table import METRICS, Metric
from tests.support import ROOT

DASHBOARD = ROOT / "docs/monitoring/grafana-dashboard.json"
ALERTS = ROOT / "docs/monitoring/prometheus-alerts.yml"
WIDTH, HEIGHT, COLUMNS = 12, 8, 2
UNITS = {"_seconds": "s", "_psi": "none", "_accuracy": "percentunit"}
SELECTOR = '{model=~"$model"}'


def expressions(metric: Metric) -> list[tuple[str, str]]:
    """Expression and legend of each series that the panel of a metric shows."""
    by = ", ".join(metric.labels)
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels)
    selector = SELECTOR if "model" in metric.labels else ""
    if metric.kind == "histogram":
        rate = f"sum by (le, model) (rate({metric.name}_bucket{selector}[5m]))"
        return [(f"histogram_quantile({share}, {rate})", f"{{{{model}}}} p{share:.0%}"[:-1]) for share in (0.5, 0.95)]
    if metric.kind == "counter":
        return [(f"sum by ({by}) (rate({metric.name}{selector}[5m]))", legend)]
    return [(f"max by ({by}) ({metric.name}{selector})" if by else f"sum({metric.name})", legend or metric.name)]


def panel(number: int, metric: Metric) -> dict[str, Any]:
    unit = next((unit for part, unit in UNITS.items() if part in metric.name), "short")
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": metric.description.rstrip("."),
        "description": metric.name,
        "datasource": source,
        "gridPos": {
            "x": number % COLUMNS * WIDTH,
            "y": number // COLUMNS * HEIGHT,
            "w": WIDTH,
            "h": HEIGHT,
        },
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
        "targets": [
            {"refId": chr(65 + index), "datasource": source, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(expressions(metric))
        ],
    }


def dashboard() -> str:
    shown = [metric for metric in METRICS.values() if metric.name != "hearth_info"]
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {
            "name": "model",
            "type": "query",
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "query": "label_values(hearth_requests_total, model)",
            "multi": True,
            "includeAll": True,
            "refresh": 2,
        },
    ]
    document = {
        "title": "Hearth",
        "uid": "hearth",
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables},
        "panels": [panel(number, metric) for number, metric in enumerate(shown)],
    }
    return json.dumps(document, indent=1) + "\n"


def alerts() -> str:
    rules = [
        _rule(
            "HearthErrors",
            'sum by (model) (rate(hearth_requests_total{outcome="fail"}[5m])) '
            "/ sum by (model) (rate(hearth_requests_total[5m])) > 0.05",
            "5m",
            "More than 5 % of the requests to {{ $labels.model }} fail.",
        ),
        _rule(
            "HearthSlow",
            "histogram_quantile(0.95, sum by (le, model) (rate(hearth_request_duration_seconds_bucket[5m]))) > 5",
            "10m",
            "The slowest 5 % of the requests to {{ $labels.model }} take more than 5 s.",
        ),
        _rule(
            "HearthDrift",
            "max by (model, version, feature) (hearth_drift_psi) > 0.25",
            "30m",
            "{{ $labels.feature }} of {{ $labels.model }}@{{ $labels.version }} moved; see `hearth drift`.",
        ),
        _rule(
            "HearthAccuracy",
            'max by (model, version) (hearth_feedback_accuracy{bound="high"}) < 0.8',
            "10m",
            "By feedback, less than 80 % of the answers of {{ $labels.model }}@{{ $labels.version }} are right.",
        ),
    ]
    return yaml.safe_dump({"groups": [{"name": "hearth", "rules": rules}]}, sort_keys=False, width=120)


def _rule(name: str, expression: str, duration: str, summary: str) -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": duration,
        "labels": {"severity": "warning"},
        "annotations": {"summary": summary},
    }


def write() -> None:
    DASHBOARD.parent.mkdir(exist_ok=True)
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    ALERTS.write_text(alerts(), encoding="utf-8")
