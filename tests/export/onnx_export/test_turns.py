from __future__ import annotations

import pytest

from hearth_build.onnx_export import turns
from hearth_build.onnx_export.turns import median_seconds


def test_runs_take_turns_and_have_their_median(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = [0.0]

    def run(name: str, *seconds: float) -> None:
        clock[0] += seconds[min(order.count(name), len(seconds) - 1)]
        order.append(name)

    monkeypatch.setattr(turns.time, "perf_counter", lambda: clock[0])
    runs = [lambda: run("a", 9, 1, 2, 5), lambda: run("b", 9, 3)]
    assert median_seconds(runs, 3) == [2, 3]
    assert order == ["a", "b"] * 4
    order.clear()
    assert median_seconds(runs, 3, limit=3) == [1, 3]
    assert order == ["a", "b"] * 2, "a first round is not left out"
