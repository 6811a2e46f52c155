from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearth_build.drift.comparison import compare
from hearth_build.drift.plot import plot

COUNTS = {"label": [50, 50], "tokens": [10, 20, 30]}


def test_each_feature_has_a_panel_and_those_that_moved_are_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    drawn: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *given, **named: (drawn.append(figure), save(figure, *given)))
    window = {"label": [100, 0], "tokens": [10, 20, 30]}
    report = compare(COUNTS, window)
    plot(report, COUNTS, window, ("bad", "good"), "toy", tmp_path / "drift.png")
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    panels = {panel.get_title().partition(":")[0]: panel for panel in drawn[0].axes if panel.get_title()}
    titles = {feature.title: feature.moved for feature in report.features}
    assert panels.keys() == titles.keys()
    assert any(titles.values())
    for title, moved in titles.items():
        assert (panels[title].title.get_color() == "C3") is moved
    labels = next(panel for title, panel in panels.items() if "label" in title.lower())
    assert {"bad", "good"} <= {tick.get_text() for tick in labels.get_xticklabels()}
