"""The estimated cost of a request, by the function's memory and architecture."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from hearth.telemetry import cost


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    cost.dollars_per_millisecond.cache_clear()
    yield
    cost.dollars_per_millisecond.cache_clear()


@pytest.mark.parametrize(("machine", "price"), [("x86_64", 0.0000166667), ("aarch64", 0.0000133334)])
def test_a_second_of_a_gigabyte_has_its_price(machine: str, price: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.setenv(cost.MEMORY, "2048")
    assert cost.dollars(1000) == pytest.approx(2 * price)
    assert cost.dollars(0.5) == pytest.approx(price / 1000)
    assert cost.dollars_per_millisecond() == pytest.approx(2 * price / 1000)


@pytest.mark.parametrize("memory", ["", "0", "much"])
def test_elsewhere_a_request_costs_nothing(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cost.MEMORY, memory)
    assert cost.dollars(1000) is None
    assert cost.dollars_per_millisecond() == 0
