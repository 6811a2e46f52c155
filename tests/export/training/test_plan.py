from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from hearth_build.data.datasets import DataError
from hearth_build.data.split import Split
from hearth_build.recipe import Example, RecipeError
from hearth_build.training.plan import Plan, load, save, with_examples
from hearth_build.training.run import run
from tests.export.training.running import texts, write_csv


def test_a_recipe_whose_data_changed_is_refused(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["text", "label"], *texts(60)])
    plan = Plan(task="text-classification", name="tiny", data=str(data), sha256="0" * 64)
    with pytest.raises(DataError, match="has changed since the recipe was written"):
        run(plan, tmp_path / "work", "")


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = Plan(task="text-classification", name="tiny", data="ä.csv", settings={"epochs": 3}, columns={"text": "a"})
    save(plan, tmp_path / "recipe.yaml")
    assert load(tmp_path / "recipe.yaml") == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: text-classification\nname: tiny\ndata: a\nminute: 3\n", "is not a recipe: .*unknown field `minute`"),
        ("task: no-task\nname: tiny\ndata: a\n", "is not a recipe"),
        ("{", "is not a recipe"),
    ],
)
def test_a_file_that_is_no_recipe_says_why(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message):
        load(tmp_path / "recipe.yaml")
    with pytest.raises(RecipeError, match="cannot be read: No such file"):
        load(tmp_path / "missing.yaml")


def test_the_fingerprint_is_that_of_what_the_weights_depend_on() -> None:
    plan = Plan(task="text-classification", name="tiny", data="a.csv", sha256="1")
    others = [
        structs.replace(plan, **change)
        for change in ({"seed": 2}, {"sha256": "2"}, {"base": "minilm"}, {"minutes": 1.0}, {"columns": {"text": "a"}})
    ]
    assert len({item.fingerprint() for item in (plan, *others)}) == 6
    assert structs.replace(plan, name="other", licence="MIT").fingerprint() == plan.fingerprint()


def test_examples_that_changed_are_refused() -> None:
    plan = Plan(task="text-classification", name="tiny", data="a.csv")
    parts = Split([Example("a", "x")], [Example("b", "y")], [])
    recorded = with_examples(plan, parts)
    assert with_examples(recorded, parts) == recorded
    for other in (Split([Example("a", "y")], parts.validation, []), Split(parts.validation, parts.train, [])):
        with pytest.raises(DataError, match=r"The examples of a\.csv are not those of the recipe"):
            with_examples(recorded, other)
