"""Faults survived: what was made to fail and where, what was expected and observed, whether the next request is fine.

`python -m tests.faults.table` writes a section of docs/testing/results.md.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.faults import disks, networks, processes, stores, surroundings
from tests.faults.lab import Lab, lab
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
    what: str
    seconds: float
    next: str

    @property
    def fine(self) -> bool:
        return self.what in self.row.expected and self.next == self.row.then


def observe(place: Lab, row: Row) -> Observed:
    """Make the fault, see what comes of it, take it away, and ask again."""
    place.proxy.set(None)
    place.fresh()
    started = time.monotonic()
    with row.broken(place) as attempt:
        what = attempt()
        seconds = time.monotonic() - started
    place.proxy.set(None)
    return Observed(row, what, seconds, row.again(place))


def markdown(found: list[Observed]) -> str:
    lines = ["| fault | where | expected | observed | seconds | next request |", "|---|---|---|---|---:|---|"]
    for one in found:
        expected = " or ".join(one.row.expected)
        observed = one.what if one.fine else f"**{one.what}**"
        lines.append(
            f"| {one.row.fault} | {one.row.where} | {expected} | {observed} | {one.seconds:.1f} | {one.next} |"
        )
    return "\n".join(lines)


def main() -> None:
    chosen, found = sys.argv[1:] or list(GROUPS), []
    for group in chosen:
        with lab() as place:
            for row in GROUPS[group](place):
                found.append(observe(place, row))
                print(markdown(found[-1:]).splitlines()[-1], flush=True)
    wrong = [one for one in found if not one.fine]
    about = f"{len(found)} faults; {len(wrong)} ended otherwise than expected."
    if chosen == list(GROUPS):
        record("Faults survived", "python -m tests.faults.table", f"{about}\n\n{markdown(found)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
