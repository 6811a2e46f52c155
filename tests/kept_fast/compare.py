"""Figures beside their baseline: what grew by more than its kind may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, float | list[str]]
"""By name, `<of what>/<kind>`; the kind says what is counted and how far it may grow."""


@dataclass(frozen=True)
class Room:
    """How far a figure may grow above its baseline; it may shrink for ever."""

    share: float = 0.0
    """Of the baseline."""
    more: float = 0.0
    """In the figure's own unit."""


ROOM = {
    "hearth modules": Room(more=3),  # one that was divided costs little
    "modules": Room(share=0.03),  # of the standard library and packages, whose small versions differ
    "module bytes": Room(share=0.05),
    "artifact bytes": Room(share=0.01),
    "requests": Room(),
    "bytes beyond the files": Room(share=0.25),  # the manifest's and the alias's
    "copies in memory": Room(more=0.1),  # of the weights; sampled
    "instructions": Room(share=0.05),
    "allocations": Room(share=0.03),
    "peak bytes": Room(share=0.1, more=2000),
    "blocks kept": Room(more=1.0),
}


def worse(found: Figures, baseline: Figures) -> list[str]:
    """A sentence for each figure that grew too far, or that has no baseline. `packages` are names: none may come."""
    told = []
    for name, value in found.items():
        before = baseline.get(name)
        if before is None:
            told.append(f"{name} is new")
        elif isinstance(value, list) or isinstance(before, list):
            assert isinstance(value, list)
            assert isinstance(before, list)
            told += [f"{name}: {one} came" for one in value if one not in before]
        else:
            room = ROOM[name.rpartition("/")[2]]
            most = before * (1 + room.share) + room.more
            if value > most:
                told.append(f"{name}: {value:g}, which was {before:g} and may be {most:g}")
    return told
