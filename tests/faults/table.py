"""Table of the faults survived: fault and target, expected and observed outcome, and that of the next request.

`python -m tests.faults.table` writes a section of docs/testing/results.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults import disks, networks, processes, stores, surroundings
from tests.faults.lab import Lab, start_lab
from tests.faults.rows import Row
from tests.support.record import record

GROUPS: dict[str, Callable[[Lab], Iterator[Row]]] = {
    "network": networks.rows,
    "store": stores.rows,
    "disk": disks.rows,
    "surroundings": surroundings.rows,
    "processes": processes.rows,
}


@dataclass(frozen=True)
class Observed:
    row: Row
    outcome: str
    seconds: float
    next_outcome: str

    @property
    def is_expected(self) -> bool:
        return self.outcome in self.row.expected and self.next_outcome == self.row.next_expected


def observe(lab: Lab, row: Row) -> Observed:
    """Inject the fault, observe the outcome, remove the fault, and observe the next request."""
    lab.proxy.set(None)
    lab.reset()
    started = time.monotonic()
    with row.inject(lab) as attempt:
        outcome = attempt()
        seconds = time.monotonic() - started
    lab.proxy.set(None)
    return Observed(row, outcome, seconds, row.next_call(lab))


def markdown(results: list[Observed]) -> str:
    lines = ["| fault | where | expected | observed | seconds | next request |", "|---|---|---|---|---:|---|"]
    for observed in results:
        expected = " or ".join(observed.row.expected)
        outcome = observed.outcome if observed.is_expected else f"**{observed.outcome}**"
        lines.append(
            f"| {observed.row.fault} | {observed.row.target} | {expected} | {outcome} "
            f"| {observed.seconds:.1f} | {observed.next_outcome} |"
        )
    return "\n".join(lines)


def main() -> None:
    groups, results = sys.argv[1:] or list(GROUPS), []
    for group in groups:
        with start_lab() as lab:
            for row in GROUPS[group](lab):
                results.append(observe(lab, row))
                print(markdown(results[-1:]).splitlines()[-1], flush=True)
    unexpected = [observed for observed in results if not observed.is_expected]
    summary = f"{len(results)} faults; {len(unexpected)} had an unexpected outcome."
    if groups == list(GROUPS):
        record("Faults survived", "python -m tests.faults.table", f"{summary}\n\n{markdown(results)}")
    sys.exit(bool(unexpected))


if __name__ == "__main__":
    main()
