"""Conventions that all commands keep."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from hearth_build.cli.main import COMMANDS, app

READING = ("models", "predict", "explain", "evaluate", "doctor", "audit", "verify", "cost")


def options(command: str) -> dict[str, Any]:
    group: Any = typer.main.get_command(app)
    context = group.make_context("hearth", [], resilient_parsing=True)
    return {name: each for each in group.get_command(context, command).params for name in each.opts}


@pytest.mark.parametrize("command", READING)
def test_reading_commands_print_json(command: str) -> None:
    assert "--json" in options(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_may_come_from_the_environment(command: str) -> None:
    store = options(command).get("--store")
    if command == "doctor":  # checks a store only if it is asked to
        assert store.envvar is None
    elif store is not None:
        assert store.envvar == "HEARTH_STORE"
