from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hearth.task_table import TASKS
from hearth_build.data.datasets import DataError
from hearth_build.pipeline.evaluation import evaluation_for, evaluation_of, examples_from, measure_by
from hearth_build.recipe import Example
from tests.export import toy


@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_an_evaluation(task: str) -> None:
    evaluation = evaluation_of(task)
    assert evaluation.metric
    assert (evaluation.outputs is None) == (evaluation.score is None)


def test_a_loss_is_a_change_for_the_worse() -> None:
    assert evaluation_of("text-classification").loss(0.9, 0.8) == pytest.approx(0.1)
    assert evaluation_of("automatic-speech-recognition").loss(0.1, 0.3) == pytest.approx(0.2)


def test_a_recipe_may_name_another_metric() -> None:
    assert evaluation_for(toy.recipe()).metric == "accuracy"
    assert evaluation_for(replace(toy.recipe(), metric="F1")).metric == "F1"


def test_what_is_measured_is_the_score_of_the_outputs() -> None:
    measure = measure_by(lambda model, examples: [model] * len(examples), lambda *given: {"sum": float(sum(given[2]))})
    assert measure(3, [Example("", 0)] * 2) == {"sum": 6.0}


def test_files_that_cannot_be_read_name_the_format_of_the_task(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "missing", "does not exist"), (tmp_path, r"has no \.txt files")):
        with pytest.raises(DataError, match=f"{message}.*The evaluation of text-classification reads a CSV"):
            examples_from(path, "text-classification")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match="has no examples"):
        examples_from(tmp_path / "a.txt", "text-generation")
    (tmp_path / "a.csv").write_text("one,two\nfine,1\nbad,0\n")
    examples = examples_from(tmp_path / "a.csv", "text-classification", {"text": "two", "label": "one"})
    assert examples[0].inputs == "1"
