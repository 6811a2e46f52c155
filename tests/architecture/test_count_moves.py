"""A warm request enters few packages, moves between them seldom and hardly returns."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.count_moves import SCENARIOS, Count, count
from tests.support import ROOT


def test_moves_and_returns_are_counted() -> None:
    assert count(["a", "a", "b", "a", "c", "c", "b"]) == Count(3, 4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_warm_request_stays_within_its_limits(scenario: object) -> None:
    index = SCENARIOS.index(scenario)  # type: ignore[arg-type]
    rows = _table()
    entered, moves, returns = (int(cell) for cell in rows[index].split("|")[2:5])
    limit = SCENARIOS[index].at_most
    assert entered <= limit.entered
    assert moves <= limit.moves
    assert returns <= limit.returns


def _table() -> list[str]:
    """The rows that the command prints."""
    command = [sys.executable, "-m", "tests.architecture.count_moves"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [line for line in run.stdout.splitlines() if line.startswith("| ")][-len(SCENARIOS) :]
