"""Ratios as bars, a group a case, with the aim beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from tests.benchmarks import table

if TYPE_CHECKING:
    from tests.benchmarks.runner import Found

CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
"""Behind a number, so that the dashes do not cross it."""


def ratios(cases: Sequence[Found], title: str, path: Path) -> None:
    """Save `path`, a PNG: bars are medians, whiskers quartiles, dashes the aims."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(way.name for found in cases for way in found.case.ways))
    colours = pyplot.get_cmap("tab10")
    height = sum(len(found.case.ways) + 1 for found in cases)
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.26 * height), layout="constrained")
    place, ticks, seen = 0.0, [], set()
    for found in cases:
        began = place
        for way in found.case.ways:
            values = table.ratios(found, way.name)
            if not values:
                continue
            low, middle, high = table.quartiles(values)
            label = None if way.name in seen else way.name
            seen.add(way.name)
            axes.barh(place, middle, 0.85, color=colours(names.index(way.name) % 10), label=label)
            axes.plot([low, high], [place, place], color="black", linewidth=1)
            axes.text(max(middle, high), place, f" {middle:.2f}", va="center", fontsize=8, bbox=CLEAR)
            place += 1
        if found.case.aim is not None:
            axes.vlines(found.case.aim, began - 0.5, place - 0.5, color="black", linestyle="--", linewidth=1.2)
        ticks.append(((began + place - 1) / 2, found.case.name))
        place += 1
    axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ratio to the baseline; dashes: the aim")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.12, y=0.02)
    columns = 3 if max(map(len, names)) < 36 else 2  # or the legend is wider than the picture
    figure.legend(fontsize=8, loc="outside upper right", ncols=columns, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
