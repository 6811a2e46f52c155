"""Compare figures with their baseline: which ones grew more than their kind may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | list[str]]
"""Figures by name, `<subject>/<kind>`; the kind says what is counted and how far it may grow."""


@dataclass(frozen=True)
class Tolerance:
    """How far a figure may grow above its baseline. It may always shrink."""

    share: float = 0.0
    """Share of the baseline."""
    absolute: float = 0.0
    """In the unit of the figure."""


TOLERANCES = {
    "hearth modules": Tolerance(absolute=3),  # splitting a module costs little
    "modules": Tolerance(share=0.03),  # standard library and packages; their patch versions differ
    "module bytes": Tolerance(share=0.05),
    "artifact bytes": Tolerance(share=0.01),
    "requests": Tolerance(),
    "bytes beyond the files": Tolerance(share=0.25),  # manifest and alias
    "copies in memory": Tolerance(absolute=0.1),  # copies of the weights; sampled
    "instructions": Tolerance(share=0.05),
    "allocations": Tolerance(share=0.03),
    "peak bytes": Tolerance(share=0.1, absolute=2000),
    "blocks kept": Tolerance(absolute=1.0),
}


def regressions(figures: Figures, baseline: Figures) -> list[str]:
    """A sentence for each figure that grew too far or has no baseline. `packages` are names: no new ones may come."""
    messages = []
    for name, value in figures.items():
        old = baseline.get(name)
        if old is None:
            messages.append(f"{name} is new")
        elif isinstance(value, list) or isinstance(old, list):
            assert isinstance(value, list)
            assert isinstance(old, list)
            messages += [f"{name}: {item} came" for item in value if item not in old]
        else:
            tolerance = TOLERANCES[name.rpartition("/")[2]]
            maximum = old * (1 + tolerance.share) + tolerance.absolute
            if value > maximum:
                messages.append(f"{name}: {value:g}, which was {old:g} and may be {maximum:g}")
    return messages
