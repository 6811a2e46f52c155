"""A misspelt name gets the one that was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from hearth.errors import NotFound
from hearth_build import ZOO
from hearth_build.cli.suggestions import check_task, did_you_mean, file_near, similar_models


def test_the_closest_name_is_suggested_and_a_far_one_is_not() -> None:
    assert did_you_mean("Sentimen-EN", ["ner-zh", "sentiment-en"]) == " Did you mean sentiment-en?"
    assert did_you_mean("weather", ["ner-zh", "sentiment-en"]) == ""


def test_a_misspelt_file_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").touch()
    assert file_near(tmp_path / "review.csv") == " Did you mean reviews.csv?"
    assert file_near(tmp_path / "nowhere/review.csv") == ""


def test_an_unknown_task_is_refused() -> None:
    check_task("")
    check_task("translation")
    with pytest.raises(typer.BadParameter, match=r"Did you mean text-classification\?"):
        check_task("text-clasification")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sentimnt-en", r"no model sentimnt-en .* Did you mean sentiment-en\?"),
        ("sentimnt-en@prod", r"no model sentimnt-en .* Did you mean sentiment-en\?"),
        ("sentiment-en@prd", r"no alias prd\. Did you mean sentiment-en@prod\?"),
        ("sentiment-en@9", r"no version 9\. .*There is sentiment-en@prod, sentiment-en@1"),
    ],
)
def test_a_misspelt_model_is_named_with_what_there_is(name: str, message: str) -> None:
    with pytest.raises(NotFound, match=message), similar_models(ZOO.as_uri(), name):
        raise NotFound("not there")


def test_what_is_missing_inside_of_a_model_is_said_as_it_is() -> None:
    with pytest.raises(NotFound, match="golden inputs"), similar_models(ZOO.as_uri(), "sentiment-en"):
        raise NotFound("no golden inputs")
