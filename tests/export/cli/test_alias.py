"""`hearth alias` and `hearth rollout` as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from hearth_build.cli.alias import parse_share
from hearth_build.cli.main import app
from tests.support.artifacts import make_text_artifact


@pytest.fixture
def store(tmp_path: Path) -> tuple[str, str]:
    for version in "123":
        make_text_artifact(tmp_path, "toy", version)
    options = ("--store", tmp_path.as_uri())
    assert run("alias", "toy", "prod", "1", *options).output == "toy@prod is version 1\n"
    return options


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_an_alias_is_split_promoted_and_printed(store: tuple[str, str]) -> None:
    split = run("alias", "toy", "prod", "2", "--share", "10%", *store).output
    assert "version 2 for 10 % of the callers" in split
    assert "Next: hearth alias toy prod --promote" in split
    assert (
        "version 3 as shadow of 20 % of the requests"
        in run("alias", "toy", "--shadow", "3", "--share", "0.2", *store).output
    )
    assert "version 3 as shadow" in run("alias", "toy", *store).output
    assert run("alias", "toy", "prod", "--promote", *store).output == "toy@prod is version 2\n"
    run("alias", "toy", "prod", "--shadow", "3", *store)
    assert run("alias", "toy", "prod", "--rollback", *store).output == "toy@prod is version 2\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prod", "2", "--promote"), "exclude each other"),
        (("prod", "--share", "10%"), "--share needs a VERSION"),
        (("prod", "2", "--share", "10"), "percentage such as 10%"),
    ],
)
def test_wrong_usage_is_told(store: tuple[str, str], arguments: tuple[str, ...], message: str) -> None:
    result = run("alias", "toy", *arguments, *store)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_shares_are_percentages_or_fractions() -> None:
    assert [parse_share(text) for text in ("10%", "0.5 %", "0.1", "0%", "1")] == [0.1, 0.005, 0.1, 0.0, 1.0]
    for text in ("10", "-1%", "101%", "nan", "ten", ""):
        with pytest.raises(typer.BadParameter):
            parse_share(text)


def test_a_rollout_needs_one_log_and_growing_shares(store: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "serve.log").touch()
    log = ("--log", str(tmp_path / "serve.log"))
    assert run("rollout", "toy", "2", *store).exit_code == 2
    assert run("rollout", "toy", "2", *store, *log, "--stack", "hearth").exit_code == 2
    assert run("rollout", "toy", "2", *store, *log, "--shares", "50%,10%").exit_code == 2
    assert run("rollout", "toy", "1", *store, *log).exit_code == 1
    nothing = run("rollout", "toy", "2", *store, *log, "--minutes", "0", "--wait-minutes", "0")
    assert nothing.exit_code == 1
    assert "0 % of the callers get version 2" in nothing.output
    assert run("alias", "toy", *store).output == "toy@prod is version 1\n"
