"""CI fails where what was made fast grows slow, by figures that do not depend on the machine's mood.

`python -m tests.kept_fast` writes the baseline anew. Each figure has a control: what it is to find is done on purpose.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from export.cli import ZOO
from tests.kept_fast import cold, imports, zoo
from tests.kept_fast.baseline import GROUPS, OF_INTERPRETER, here, load
from tests.kept_fast.compare import Figures, worse
from tests.layers import ROOT

HELP = "Mend it; or, where it is to be so, say why in the commit: python -m tests.kept_fast"


def baseline(group: str) -> Figures:
    """Skips where the group's figures are of another interpreter."""
    found = load()
    if group in OF_INTERPRETER and found["made with"] != here():
        pytest.skip(f"The baseline is of {found['made with']}, and this is {here()}")
    figures: Figures = found[group]
    return figures


@pytest.mark.parametrize("group", GROUPS)
def test_nothing_grew(group: str) -> None:
    before = baseline(group)
    found = GROUPS[group]()
    assert not worse(found, before), HELP
    assert not set(before) - set(found), "These are measured no more: python -m tests.kept_fast"


def test_a_package_more_is_found(tmp_path: Path) -> None:
    app = (ROOT / "functions/text_classification/app.py").read_text()
    (tmp_path / "app.py").write_text(app + "\nimport starlette.testclient\n")
    told = worse(imports.of_folder(tmp_path, "text_classification", web=False), baseline("imports"))
    names = {sentence.partition(":")[0] for sentence in told}
    assert names == {f"text_classification, event/{kind}" for kind in ("modules", "module bytes", "packages")}
    assert "text_classification, event/packages: starlette came" in told


def test_a_larger_artifact_is_found(tmp_path: Path) -> None:
    shutil.copytree(ZOO, tmp_path / "zoo")
    grown = tmp_path / "zoo/sentiment-en/grown.bin"
    grown.write_bytes(bytes(200_000))
    (told,) = worse(zoo.measure(tmp_path / "zoo"), baseline("zoo"))
    assert told.startswith("sentiment-en/artifact bytes: ")


def test_a_careless_start_is_found() -> None:
    told = worse(cold.measure(careless=True), baseline("cold"))
    assert [sentence.partition(":")[0] for sentence in told] == [
        "48 MB/requests",
        "48 MB/bytes beyond the files",
        "48 MB/copies in memory",
    ]


def test_what_has_no_baseline_is_found() -> None:
    assert worse({"a/requests": 1}, {}) == ["a/requests is new"]
