"""CI fails where what was made fast grows slow, by figures that do not depend on the machine's mood.

`python -m tests.kept_fast` writes the baseline anew. Each figure has a control: what it is to find is done on purpose.
"""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import pytest

from hearth_build import ZOO
from tests.kept_fast import cold, imports, warm, zoo
from tests.kept_fast.baseline import GROUPS, OF_INTERPRETER, here, load
from tests.kept_fast.compare import Figures, worse
from tests.support.layers import ROOT

HELP = "Mend it; or, where it is to be so, say why in the commit: python -m tests.kept_fast"


def baseline(group: str) -> Figures:
    """Skips where the group's figures are of another interpreter."""
    found = load()
    if group in OF_INTERPRETER and found["made with"] != here():
        pytest.skip(f"The baseline is of {found['made with']}, and this is {here()}")
    figures: Figures = found[group]
    return figures


measured = functools.cache(lambda group: GROUPS[group]())
"""A control is beside what was measured just now: what became better than the baseline has one, too."""


def names(told: list[str]) -> list[str]:
    """Of the figures that sentences of `worse` are about."""
    return [sentence.partition(":")[0] for sentence in told]


@pytest.mark.parametrize("group", ["imports", "zoo", "cold"])
def test_nothing_grew(group: str) -> None:
    before, found = baseline(group), measured(group)
    assert not worse(found, before), HELP
    assert not set(before) - set(found), "These are measured no more: python -m tests.kept_fast"


def test_a_warm_call_takes_no_more_memory() -> None:
    before, (found, careless) = baseline("memory"), warm.memory()
    assert not worse(found, before), HELP
    assert names(worse(careless, found)) == ["HTTP/peak bytes", "HTTP/blocks kept"]


def test_a_warm_call_takes_no_more_instructions_and_allocations() -> None:
    if why := warm.lacking():
        pytest.skip(why)
    before, (found, careless) = baseline("counts"), warm.counts()
    assert not worse(found, before), HELP
    assert names(worse(careless, found)) == ["HTTP/instructions", "HTTP/allocations"]


def test_a_package_more_is_found(tmp_path: Path) -> None:
    app = (ROOT / "functions/text_classification/app.py").read_text()
    (tmp_path / "app.py").write_text(app + "\nimport starlette.testclient\n")
    told = worse(imports.of_folder(tmp_path, "text_classification"), measured("imports"))
    kinds = ("modules", "module bytes", "packages")
    assert set(names(told)) == {f"text_classification, event/{kind}" for kind in kinds}
    assert "text_classification, event/packages: starlette came" in told


def test_a_larger_artifact_is_found(tmp_path: Path) -> None:
    shutil.copytree(ZOO, tmp_path / "zoo")
    grown = tmp_path / "zoo/sentiment-en/grown.bin"
    grown.write_bytes(bytes(200_000))
    (told,) = worse(zoo.measure(tmp_path / "zoo"), measured("zoo"))
    assert told.startswith("sentiment-en/artifact bytes: ")


def test_a_careless_start_is_found() -> None:
    told = worse(cold.measure(careless=True), measured("cold"))
    assert names(told) == [f"48 MB/{kind}" for kind in ("requests", "bytes beyond the files", "copies in memory")]


def test_what_has_no_baseline_is_found() -> None:
    assert worse({"a/requests": 1}, {}) == ["a/requests is new"]
