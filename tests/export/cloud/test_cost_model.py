"""What a model costs: arithmetic on known numbers, and one real measurement through the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth.errors import BadRequest
from hearth_build.cli.main import app
from hearth_build.cloud.cost_model import PRICES, Cost, Measurement, estimate_cost, markdown, read_prices

MEASUREMENTS = {1: Measurement(1000, 10, 10, 300), 2: Measurement(800, 8, 14, 310)}


def cost(cold_rate: float = 0, max_warm_ms: float = float("inf"), architecture: str = "x86_64") -> Cost:
    return estimate_cost(
        MEASUREMENTS,
        read_prices(PRICES),
        architecture=architecture,
        cold_rate=cold_rate,
        max_warm_ms=max_warm_ms,
    )


def test_a_thousand_calls_cost_gigabyte_seconds_and_requests() -> None:
    size = next(size for size in cost().sizes if size.processors == 1)
    assert size.memory_mb == 1769
    assert size.dollars == pytest.approx(1000 * (0.010 * 1769 / 1024 * 0.0000166667 + 0.0000002), rel=1e-9)


def test_half_a_processor_takes_twice_as_long_and_costs_the_same() -> None:
    quarter, half, whole = cost().sizes[:3]
    assert (quarter.warm_ms, half.warm_ms, whole.warm_ms) == (40, 20, 10)
    assert half.dollars == pytest.approx(whole.dollars, rel=1e-3)


def test_cold_starts_are_billed() -> None:
    warm, mixed = (cost(rate).sizes[2].dollars for rate in (0, 0.1))
    per_second = 1769 / 1024 * 0.0000166667
    assert mixed - warm == pytest.approx(1000 * 0.1 * (1 - 0.01) * per_second, rel=1e-9)


def test_the_cheapest_size_fits_and_meets_the_latency_bound() -> None:
    assert cost().sizes[0].fits
    assert cost(max_warm_ms=25).cheapest in cost(max_warm_ms=25).sizes[1:3]
    assert cost(max_warm_ms=9).cheapest == cost().sizes[3]
    impossible = cost(max_warm_ms=1)
    assert impossible.cheapest is None
    assert "always-on" not in markdown(impossible)


def test_arm64_is_cheaper_only_because_of_its_price() -> None:
    x86, arm = (cost(architecture=name).sizes[2] for name in ("x86_64", "arm64"))
    assert arm.warm_ms == x86.warm_ms
    assert arm.dollars < x86.dollars


def test_break_even_is_where_both_bills_are_equal() -> None:
    estimate = cost()
    assert estimate.cheapest is not None
    calls = estimate.break_even(30.37)
    assert calls / 1000 * (estimate.cheapest.dollars + estimate.api_dollars) == pytest.approx(30.37)


def test_a_missing_price_is_named(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("[lambda]\nx86_64 = 1.0\n")
    with pytest.raises(BadRequest, match=r"\[lambda\] has no price `arm64`"):
        read_prices(tmp_path / "prices.toml")


def test_the_command_measures_and_draws(tmp_path: Path) -> None:
    plot = tmp_path / "cost.png"
    arguments = ["cost", "resnet20-cifar10", "--calls", "3", "--processes", "1", "--plot", str(plot)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| 1769 | 1 |" in result.output
    assert "cheapest" in result.output
    assert plot.read_bytes().startswith(b"\x89PNG")
