"""What a model costs: arithmetic on known figures, and one real measurement through the command."""

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


def test_a_thousand_calls_cost_their_gigabyte_seconds_and_requests() -> None:
    size = next(size for size in cost().sizes if size.processors == 1)
    assert size.memory_mb == 1769
    assert size.dollars == pytest.approx(1000 * (0.010 * 1769 / 1024 * 0.0000166667 + 0.0000002), rel=1e-9)


def test_a_share_of_a_processor_takes_as_much_longer_and_costs_the_same() -> None:
    quarter, half, one = cost().sizes[:3]
    assert (quarter.warm_ms, half.warm_ms, one.warm_ms) == (40, 20, 10)
    assert half.dollars == pytest.approx(one.dollars, rel=1e-3)


def test_cold_starts_are_paid_for() -> None:
    warm, mixed = (cost(rate).sizes[2].dollars for rate in (0, 0.1))
    per_second = 1769 / 1024 * 0.0000166667
    assert mixed - warm == pytest.approx(1000 * 0.1 * (1 - 0.01) * per_second, rel=1e-9)


def test_the_cheapest_size_fits_and_answers_in_time() -> None:
    assert cost().sizes[0].fits
    assert cost(max_warm_ms=25).cheapest in cost(max_warm_ms=25).sizes[1:3]
    assert cost(max_warm_ms=9).cheapest == cost().sizes[3]
    nothing = cost(max_warm_ms=1)
    assert nothing.cheapest is None
    assert "always-on" not in markdown(nothing)


def test_arm64_is_cheaper_by_its_price_alone() -> None:
    x86, arm = (cost(architecture=name).sizes[2] for name in ("x86_64", "arm64"))
    assert arm.warm_ms == x86.warm_ms
    assert arm.dollars < x86.dollars


def test_a_server_is_cheaper_from_where_the_bills_meet() -> None:
    whole = cost()
    assert whole.cheapest is not None
    calls = whole.break_even(30.37)
    assert calls / 1000 * (whole.cheapest.dollars + whole.api_dollars) == pytest.approx(30.37)


def test_a_price_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text("[lambda]\nx86_64 = 1.0\n")
    with pytest.raises(BadRequest, match=r"\[lambda\] has no price `arm64`"):
        read_prices(tmp_path / "prices.toml")


def test_the_command_measures_and_draws(tmp_path: Path) -> None:
    picture = tmp_path / "cost.png"
    arguments = ["cost", "resnet20-cifar10", "--calls", "3", "--processes", "1", "--plot", str(picture)]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "| 1769 | 1 |" in done.output
    assert "cheapest" in done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
