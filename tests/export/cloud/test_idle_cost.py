"""The idle stack costs about a dollar a month, and what costs more is an item of its own."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hearth_build.cli.main import app
from hearth_build.cloud.cost_model import PRICES, read_prices
from hearth_build.cloud.idle_cost import Item, idle_items
from hearth_build.cloud.parameters import Template
from hearth_build.cloud.sam_deploy import TEMPLATE

MOST_DOLLARS = 1.50


def items(**overrides: str) -> list[Item]:
    template = Template.read(TEMPLATE)
    return idle_items(template.values(overrides, {}), template.alarm_metrics, read_prices(PRICES))


def test_the_defaults_cost_at_most_a_dollar_and_a_half() -> None:
    assert sum(item.dollars for item in items()) <= MOST_DOLLARS
    alarms = items()[0]
    assert alarms == Item("alarms", "9 metrics", pytest.approx(0.90))


@pytest.mark.parametrize(
    ("parameter", "value", "dollars"),
    [
        ("CustomerKey", "true", 1),
        ("Dashboard", "true", 3),
        ("FirewallRate", "100", 8),
        ("ProvisionedConcurrency", "1", 18.92),
        ("SnapStart", "PublishedVersions", 6.83),
    ],
)
def test_what_costs_more_is_an_item(parameter: str, value: str, dollars: float) -> None:
    (extra,) = [item for item in items(**{parameter: value}) if item not in items()]
    assert extra.dollars == pytest.approx(dollars, abs=0.01)


def test_the_command_prints_the_table_and_refuses_wrong_parameters() -> None:
    result = CliRunner().invoke(app, ["cost", "--stack", "--parameter", "CustomerKey=true"])
    assert result.exit_code == 0, result.output
    assert "| customer-managed key | 1 | 1.00 |" in result.output
    assert "There is no parameter Kye" in str(
        CliRunner().invoke(app, ["cost", "--stack", "--parameter", "Kye=1"]).exception
    )
    assert CliRunner().invoke(app, ["cost"]).exit_code == 2
