"""Conventions that all commands keep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from hearth_build import ZOO
from hearth_build.cli.main import COMMANDS, app
from tests.export.cli.test_main import hearth

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
    if command in ("doctor", "train"):  # look at a store only if they are asked to
        assert store.envvar is None
    elif store is not None:
        assert store.envvar == "HEARTH_STORE"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_store_of_hearth_toml_is_the_default(tmp_path: Path, encoding: str) -> None:
    store = tmp_path / "models"
    shutil.copytree(ZOO / "sentiment-en", store / "sentiment-en")
    (tmp_path / "hearth.toml").write_text(f'store = "{store.as_uri()}"\n', encoding)
    assert [row["model"] for row in json.loads(hearth("models", "--json", cwd=tmp_path).stdout)] == ["sentiment-en"]
    other = hearth("models", "--json", "--store", ZOO.as_uri(), cwd=tmp_path)
    assert len(json.loads(other.stdout)) > 1, "the command line wins"
    (tmp_path / "hearth.toml").write_text("store = 3\n")
    refused = hearth("models", cwd=tmp_path)
    assert (refused.returncode, "hearth.toml: store must be" in refused.stderr) == (2, True)
