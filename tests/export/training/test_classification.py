from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from hearth_build.data.report import DataReport
from hearth_build.data.split import exact_duplicates
from hearth_build.recipe import Example
from hearth_build.training.candidates import Data, Session
from hearth_build.training.classification import class_weights, macro_f1, majority, make_data
from hearth_build.training.plan import Plan


def data_of(rare: int, frequent: int, work: Path) -> Data:
    labels = ["rare"] * rare + ["frequent"] * frequent
    examples = [Example(f"text {number}", label) for number, label in enumerate(labels)]
    session = Session(Plan(task="text-classification", name="tiny", data="a.csv"), work, "")
    return make_data(session, examples, [], exact_duplicates([example.inputs for example in examples]), DataReport())


def test_rare_labels_weigh_more_but_not_by_as_much_as_they_are_rare(tmp_path: Path) -> None:
    data = data_of(50, 450, tmp_path)
    assert data.metric == "F1"
    weights = class_weights(data)
    assert weights is not None
    assert weights[1] / weights[0] == pytest.approx(3, rel=0.1)  # the labels are sorted by name
    assert majority(data).score == pytest.approx(0.474, abs=0.02)
    assert "Rare labels weigh more" in " ".join(data.report.facts)


def test_balanced_labels_weigh_the_same(tmp_path: Path) -> None:
    data = data_of(200, 300, tmp_path)
    assert data.metric == ""
    assert class_weights(data) is None


def test_macro_f1_equals_that_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    targets, predicted = random.integers(0, 4, (2, 200))
    assert macro_f1(targets, predicted, 4) == pytest.approx(f1_score(targets, predicted, average="macro"))
