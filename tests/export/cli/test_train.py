from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.cli.train import parse_columns
from hearth_build.training import plan as plans
from hearth_build.training import run as training

GIVEN = ("train", "text-classification", "--data", "a.csv", "--name", "reviews")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Plans and folders of trainings, whose artifact is one of the zoo."""
    seen: list[Any] = []

    def train(plan: Any, folder: Path, command: str, *, check: bool) -> Path | None:
        seen.append((plan, folder))
        return None if check else ZOO / "sentiment-en/1"

    monkeypatch.setattr(training, "run", train)
    return seen


def test_options_are_the_plan_and_the_next_command_is_printed(trained: list[Any]) -> None:
    result = run(*GIVEN, "--column", "text=Review", "--minutes", "3", "--from", "minilm")
    assert result.exit_code == 0, (result.output, result.exception)
    plan, folder = trained[0]
    assert (plan.columns, plan.minutes, plan.base, folder) == ({"text": "Review"}, 3.0, "minilm", Path("build/reviews"))
    assert "Next: hearth publish" in result.output
    assert "Next" not in run(*GIVEN, "--check").output


def test_a_recipe_is_repeated(trained: list[Any], tmp_path: Path) -> None:
    plan = plans.Plan(task="text-classification", name="again", data="b.csv")
    plans.save(plan, tmp_path / "recipe.yaml")
    run("train", "--recipe", str(tmp_path / "recipe.yaml"))
    assert trained == [(plan, Path("build/again"))]


def test_a_model_is_published_without_an_alias(trained: list[Any], tmp_path: Path) -> None:
    store = (tmp_path / "store").as_uri()
    result = run(*GIVEN, "--store", store)
    assert "Published sentiment-en@1" in result.output
    assert f"Next: hearth alias sentiment-en prod 1 --store {store}" in result.output
    assert not (tmp_path / "store/sentiment-en/aliases.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(GIVEN[:-2], "Give TASK, --data PATH and --name NAME"), ((*GIVEN, "--size", "tiny"), "Invalid enum value")],
)
def test_what_is_missing_or_wrong_is_named(arguments: tuple[str, ...], message: str, trained: list[Any]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert trained == []


def test_columns_have_a_role_and_a_name() -> None:
    assert parse_columns(["label=My=Rating"]) == {"label": "My=Rating"}
    for text in ("label", "=Rating", "label="):
        with pytest.raises(typer.BadParameter, match="must be ROLE=NAME"):
            parse_columns([text])
