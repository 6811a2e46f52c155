from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearth_build.data.report import DataReport
from hearth_build.data.split import Split
from hearth_build.recipe import DynamicInt8, Example, NoQuantization
from hearth_build.training.candidates import Candidate, Data, Session, best
from hearth_build.training.plan import Plan
from tests.export import toy


def test_a_training_takes_as_many_epochs_as_there_is_time_for(tmp_path: Path) -> None:
    session = Session(Plan(task="text-classification", name="tiny", data="a.csv", minutes=0.1), tmp_path, "")
    toy.prepare(tmp_path)
    epochs, minutes = session.epochs(lambda epochs: toy.stage(epochs=epochs, kind=toy.SlowTexts), 1000)
    assert 1 <= epochs < 1000
    assert 0 < minutes < 0.1
    assert session.epochs(lambda epochs: toy.stage(epochs=epochs), 1000) == (epochs, minutes)  # an interrupted run


def test_a_repeated_training_has_the_epochs_of_the_recipe(tmp_path: Path) -> None:
    plan = Plan(task="text-classification", name="tiny", data="a.csv", settings={"epochs": 7})
    assert Session(plan, tmp_path, "").epochs(lambda epochs: toy.stage(), 3) == (7, 0.0)


def test_the_best_candidate_is_one_that_can_be_served() -> None:
    results = [Candidate("baseline", 0.9), *(Candidate(name, 0.5, toy.recipe) for name in ("first", "equal"))]
    assert best(results, higher_is_better=True).name == "first"
    results.append(Candidate("worse", 0.4, toy.recipe))
    assert best(results, higher_is_better=False).name == "worse"


def test_a_recipe_has_what_all_tasks_have_in_common(tmp_path: Path) -> None:
    plan = Plan(task="text-classification", name="tiny", data="a.csv", base="minilm", precision="fp32")
    session = Session(plan, tmp_path, "")
    data = Data(Split([], [Example("a", "x")], []), ("x", "y"), DataReport())
    recipe = session.recipe(
        data,
        description="A description.",
        graphs={},
        golden=lambda: (),
        preprocessing=None,
        quantization=session.quantization(DynamicInt8()),
        gate=toy.recipe().gate,
    )
    assert recipe.labels == ("x", "y")
    assert recipe.dev["validation"](tmp_path) == [Example("a", "x")]
    assert recipe.quantization == NoQuantization()
    assert "all-MiniLM-L6-v2" in recipe.parents[0]


@pytest.mark.parametrize(("size", "title"), [("", "fine-tuned encoder"), ("small", "distilled encoder")])
def test_a_tuned_network_is_named_by_how_it_came_to_be(size: Any, title: str, tmp_path: Path) -> None:
    plan = Plan(task="text-classification", name="tiny", data="a.csv", size=size)
    assert Session(plan, tmp_path, "").title("encoder") == title
