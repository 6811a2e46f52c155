from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.tensors import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model


@pytest.fixture(autouse=True)
def doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, app, lambda request: {"y": [2 * value for value in request.inputs["x"]]})


def test_the_largest_difference_is_measured() -> None:
    examples = [Example({"x": [1, 2]}, {"y": [2, 4]}), Example({"x": [1, 2]}, {"y": [2, 4.5]})]
    assert EVALUATION.measure(model(), examples)["largest difference"] > 0
    assert EVALUATION.measure(model(), examples[:1]) == {"largest difference": 0}
    with pytest.raises(DataError, match="There is no output z; the outputs are: y"):
        EVALUATION.measure(model(), [Example({"x": [1]}, {"z": [1]})])


def test_outputs_are_sampled_and_compared() -> None:
    answer = EVALUATION.predict(model(), {"x": [1.0, 2.0]})
    assert EVALUATION.summarize(answer) == "y: 2 values"
    assert EVALUATION.difference(answer, EVALUATION.predict(model(), {"x": [1.0, 2.0]})) == 0
    assert EVALUATION.difference(answer, EVALUATION.predict(model(), {"x": [1.0, 3.0]})) > 0


@pytest.mark.parametrize("line", ["no JSON", '{"inputs": {}}', "3"])
def test_other_lines_are_refused_with_the_format(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"must be a \.jsonl file with an object per line"):
        EVALUATION.read(tmp_path / "a.jsonl")
    (tmp_path / "a.jsonl").write_text('{"inputs": {"x": [1]}, "outputs": {"y": [2]}}\n\n')
    assert EVALUATION.read(tmp_path / "a.jsonl") == [Example({"x": [1]}, {"y": [2]})]
