from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from hearth_build import ZOO
from hearth_build.cli.deploy import _parse_parameter
from hearth_build.cli.main import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    """Plans that were run, instead of a deployment; models are published into a folder."""
    from hearth.storage import open as stores
    from hearth_build.cloud import sam_deploy

    plans: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sam_deploy.Plan, "run", lambda plan, folder, dry_run: plans.append((plan, dry_run)))
    stack = SimpleNamespace(output=lambda name: f"the-{name}")
    monkeypatch.setattr("hearth_build.cloud.stack.describe_stack", lambda name: stack)
    opened = stores.open_store((tmp_path / "store").as_uri())
    monkeypatch.setattr(stores, "open_store", lambda uri: opened)
    return plans


def test_flags_win_over_hearth_toml(deployed: list[Any], tmp_path: Path) -> None:
    (tmp_path / "hearth.toml").write_text('stack = "mine"\nregion = "eu-west-1"\n[parameters]\nMemory = 1024\n')
    assert run("deploy", "--dry-run", "Memory=2048", "--region", "us-east-1").exit_code == 0
    plan, is_dry = deployed[0]
    assert (plan.stack, plan.region, is_dry) == ("mine", "us-east-1", True)
    assert plan.overrides == {"Memory": "2048"}


def test_models_are_published_and_the_next_commands_printed(deployed: list[Any], tmp_path: Path) -> None:
    (tmp_path / "models.txt").write_text(f"{ZOO / 'sentiment-en/1'}\n")
    result = run("deploy", "--models", "models.txt")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "sentiment-en@1 is published, alias prod points to it" in result.output
    assert (tmp_path / "store/sentiment-en/1/manifest.json").is_file()
    assert "HEARTH_STORE=s3://the-ArtifactBucketName/models" in result.output
    assert "Next: hearth doctor --stack hearth" in result.output


def test_parameters_have_a_name_and_a_value() -> None:
    assert _parse_parameter("Url=https://a/?b=c") == ("Url", "https://a/?b=c")
    with pytest.raises(typer.BadParameter, match="NAME=VALUE, unlike 'Memory'"):
        _parse_parameter("Memory")


def test_the_template_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    result = run("template", str(tmp_path / "other.toml"))
    assert result.exit_code == 2
    assert "There is no file" in result.output
