"""`hearth doctor` for a machine and for stores; tests/template/test_doctor.py tests it for a deployment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth_build import ZOO
from hearth_build.cli.main import app

NAME = "resnet20-cifar10"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store that holds one model."""
    shutil.copytree(ZOO / NAME, tmp_path / "store" / NAME)
    return tmp_path / "store"


def test_the_zoo_and_this_machine_have_no_problem(folder: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--store", folder.as_uri(), "--deep"])
    assert result.exit_code == 0, result.output
    assert f"{NAME}@1 is intact." in result.output
    assert "No problems." in result.output
