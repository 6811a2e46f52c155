"""Ratios as bars, a group per case, with the aim beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib

from tests.benchmarks import table

if TYPE_CHECKING:
    from tests.benchmarks.runner import CaseResult

CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
"""Style of the box behind a number, so that the dashes do not cross it."""


def ratios(cases: Sequence[CaseResult], title: str, path: Path) -> None:
    """Save a PNG at `path`: bars are medians, whiskers quartiles, dashes the aims."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(way.name for result in cases for way in result.case.ways))
    colours = pyplot.get_cmap("tab10")
    height = sum(len(result.case.ways) + 1 for result in cases)
    figure, axes = pyplot.subplots(figsize=(9, 1.2 + 0.26 * height), layout="constrained")
    position, ticks, labelled = 0.0, [], set()
    for result in cases:
        first_position = position
        for way in result.case.ways:
            values = table.ratios(result, way.name)
            if not values:
                continue
            low, middle, high = table.quartiles(values)
            label = None if way.name in labelled else way.name
            labelled.add(way.name)
            axes.barh(position, middle, 0.85, color=colours(names.index(way.name) % 10), label=label)
            axes.plot([low, high], [position, position], color="black", linewidth=1)
            axes.text(max(middle, high), position, f" {middle:.2f}", va="center", fontsize=8, bbox=CLEAR)
            position += 1
        if result.case.aim is not None:
            axes.vlines(
                result.case.aim, first_position - 0.5, position - 0.5, color="black", linestyle="--", linewidth=1.2
            )
        ticks.append(((first_position + position - 1) / 2, result.case.name))
        position += 1
    axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("ratio to the baseline; dashes: the aim")
    axes.set_title(title, fontsize=10)
    axes.margins(x=0.12, y=0.02)
    columns = 3 if max(map(len, names)) < 36 else 2  # otherwise, the legend is wider than the picture
    figure.legend(fontsize=8, loc="outside upper right", ncols=columns, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
