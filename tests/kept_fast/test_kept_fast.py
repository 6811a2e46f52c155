"""CI fails if performance regresses, by figures that do not vary between runs.

`python -m tests.kept_fast` writes a new baseline. Each figure has a control that causes a regression on purpose.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from hearth_build import ZOO
from tests.kept_fast import cold, imports, warm, zoo
from tests.kept_fast.baseline import GROUPS, INTERPRETER_GROUPS, interpreter, load
from tests.kept_fast.compare import Figures, regressions
from tests.support.layers import ROOT

HELP = "Fix it, or update the baseline and say why in the commit: python -m tests.kept_fast"


def baseline(group: str) -> Figures:
    """The baseline of a group; skip the test if it belongs to another interpreter."""
    committed = load()
    if group in INTERPRETER_GROUPS and committed["made with"] != interpreter():
        pytest.skip(f"The baseline is of {committed['made with']}, and this is {interpreter()}")
    figures: Figures = committed[group]
    return figures


measured = functools.cache(lambda group: GROUPS[group]())
"""Controls are compared with these figures, so that they also work for figures that are better than the baseline."""


def names(messages: list[str]) -> list[str]:
    """Names of the figures in messages of `regressions`."""
    return [message.partition(":")[0] for message in messages]


@pytest.mark.parametrize("group", ["imports", "zoo", "cold"])
def test_nothing_grew(group: str) -> None:
    expected, figures = baseline(group), measured(group)
    assert not regressions(figures, expected), HELP
    assert not set(expected) - set(figures), "The baseline has figures that are not measured: python -m tests.kept_fast"


def test_a_warm_call_takes_no_more_memory() -> None:
    expected, (figures, careless) = baseline("memory"), warm.memory()
    assert not regressions(figures, expected), HELP
    assert names(regressions(careless, figures)) == ["HTTP/peak bytes", "HTTP/blocks kept"]


def test_a_warm_call_takes_no_more_instructions_and_allocations() -> None:
    if reason := warm.missing_requirement():
        pytest.skip(reason)
    expected, (figures, careless) = baseline("counts"), warm.counts()
    assert not regressions(figures, expected), HELP
    assert names(regressions(careless, figures)) == ["HTTP/instructions", "HTTP/allocations"]


def test_an_additional_package_is_detected(tmp_path: Path) -> None:
    app = (ROOT / "functions/text_classification/app.py").read_text()
    (tmp_path / "app.py").write_text(app + "\nimport starlette.testclient\n")
    messages = regressions(imports.measure_function(tmp_path, "text_classification"), measured("imports"))
    kinds = ("modules", "module bytes", "packages")
    assert set(names(messages)) == {f"text_classification, event/{kind}" for kind in kinds}
    assert "text_classification, event/packages: starlette came" in messages


def test_a_larger_artifact_is_detected(tmp_path: Path) -> None:
    shutil.copytree(ZOO, tmp_path / "zoo")
    grown = tmp_path / "zoo/sentiment-en/grown.bin"
    grown.write_bytes(bytes(200_000))
    (message,) = regressions(zoo.measure(tmp_path / "zoo"), measured("zoo"))
    assert message.startswith("sentiment-en/artifact bytes: ")


def test_a_careless_start_is_detected() -> None:
    messages = regressions(cold.measure(careless=True), measured("cold"))
    assert names(messages) == [f"48 MB/{kind}" for kind in ("requests", "bytes beyond the files", "copies in memory")]


def test_a_figure_without_baseline_is_reported() -> None:
    assert regressions({"a/requests": 1}, {}) == ["a/requests is new"]
