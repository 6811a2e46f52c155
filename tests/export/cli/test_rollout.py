from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from hearth_build.cli.main import app
from hearth_build.release import rollout as module


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["rollout", "toy", "2", "--store", "file:///tmp/nowhere", *arguments])


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The plans of rollouts, which succeed at once."""
    seen: list[Any] = []

    class Rollout:
        def __init__(self, store: Any, log: Any, plan: Any, report: Any) -> None:
            seen.append(plan)

        def run(self) -> Any:
            return SimpleNamespace(version="2")

    monkeypatch.setattr(module, "Rollout", Rollout)
    monkeypatch.setattr(module, "FileLog", lambda path: path)
    return seen


def test_options_are_the_steps_and_limits_of_the_plan(plans: list[Any]) -> None:
    result = run("--log", "serve.log", "--shares", "0%, 10%,50%", "--minutes", "2", "--errors", "3%")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "toy@prod is now version 2" in result.output
    assert list(plans[0].shares) == [0.0, 0.1, 0.5]
    assert plans[0].limits.errors == 0.03


def test_without_agreement_there_is_no_step_of_a_shadow(plans: list[Any]) -> None:
    run("--log", "serve.log", "--agreement", "0%")
    assert 0.0 not in plans[0].shares


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give either --log FILE"),
        (("--log", "a", "--stack", "b"), "Give either --log FILE"),
        (("--log", "a", "--shares", "50%,5%"), "must grow from step to step"),
        (("--log", "a", "--shares", "5%,5%"), "must grow from step to step"),
    ],
)
def test_options_that_contradict_are_refused(arguments: tuple[str, ...], message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output
