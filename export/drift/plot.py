"""Draws the features of a comparison as bars of shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hearth.telemetry.features import class_name
from hearth_build.drift.comparison import Report, padded

COLUMNS = 3
MAX_TICKS = 8


def plot(
    report: Report,
    reference: Mapping[str, Sequence[int]],
    window: Mapping[str, Sequence[int]],
    labels: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Write a picture with one panel for each feature; those that have moved have a red title."""
    from matplotlib.figure import Figure

    rows = -(-len(report.features) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 2.6 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for panel, feature in zip(panels, report.features, strict=False):
        counts = [padded(feature.name, values[feature.name]) for values in (reference, window)]
        used = np.flatnonzero(counts[0] + counts[1])
        classes = np.arange(used[0], used[-1] + 1)
        for offset, values, colour, name in ((-0.2, counts[0], "0.6", "reference"), (0.2, counts[1], "C0", "window")):
            panel.bar(classes + offset, values[classes] / values.sum(), 0.4, color=colour, label=name)
        ticks = classes[:: -(-len(classes) // MAX_TICKS)]
        names = [class_name(feature.name, int(index), labels)[:16] for index in ticks]
        panel.set_xticks(ticks, names, rotation=30, ha="right", fontsize=7)
        panel.tick_params(axis="y", labelsize=7)
        panel.set_title(f"{feature.title}: PSI {feature.psi:.2f}", fontsize=9, color="C3" if feature.moved else "black")
    for panel in panels[len(report.features) :]:
        panel.axis("off")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, dpi=120)
