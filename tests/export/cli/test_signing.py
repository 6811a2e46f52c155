from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hearth.errors import HearthError
from hearth_build.cli.main import app
from tests.support.artifacts import make_text_artifact


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture
def store(tmp_path: Path) -> str:
    make_text_artifact(tmp_path / "store")
    return (tmp_path / "store").as_uri()


def test_a_signed_version_is_verified_by_the_public_key(store: str, tmp_path: Path) -> None:
    created = run("signing-key", tmp_path / "private.pem", "--public", tmp_path / "trust/ours.pem")
    assert "it secret. The public key is in" in created.output
    verify = ("verify", "sentiment-en", "--store", store, "--keys", tmp_path / "trust")
    assert isinstance(run(*verify).exception, HearthError)
    assert (
        "Signed sentiment-en@"
        in run("sign", "sentiment-en", "--store", store, "--key", tmp_path / "private.pem").output
    )
    assert "is signed and unchanged" in run(*verify).output
    assert json.loads(run(*verify, "--json").stdout)["verified"] is True
    (graph,) = (tmp_path / "store/sentiment-en").glob("*/model.onnx")
    graph.write_bytes(graph.read_bytes()[:-1] + b"x")
    assert run(*verify).exit_code == 1


def test_a_public_key_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "ours.pem").write_text("trusted")
    result = run("signing-key", tmp_path / "private.pem", "--public", tmp_path / "ours.pem")
    assert isinstance(result.exception, FileExistsError)
    assert (tmp_path / "ours.pem").read_text() == "trusted"
    assert not (tmp_path / "private.pem").exists()
