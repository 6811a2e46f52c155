from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.evaluations.text2text_generation import EVALUATION, app
from hearth_build.recipe import Example
from hearth_functions.text2text_generation.app import GeneratedText
from tests.export.evaluations.fakes import answer_with, model


def test_outputs_are_compared_with_their_references(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, app, lambda request: [GeneratedText(f"{text} ") for text in request.inputs])
    examples = [Example("same", "same"), Example("other", "another"), Example("longer text", "longer text")]
    metrics = EVALUATION.measure(model(), examples)
    assert metrics["exact match"] == pytest.approx(2 / 3), "white space at the end does not count"
    assert 50 < metrics["chrF"] < 100
    assert EVALUATION.predict(model(), "same") == "same "


def test_columns_of_inputs_and_outputs_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("input,output\none,1\ntwo,2\n")
    assert EVALUATION.read(tmp_path / "a.csv") == [Example("one", "1"), Example("two", "2")]
