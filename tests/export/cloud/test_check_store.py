from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hearth.models import signature
from hearth.models.manifest import SIGNATURE, parse
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.cli.main import app
from hearth_build.cloud.check_store import check_store
from hearth_build.cloud.finding import Finding, Level
from hearth_build.release.signing import digests_of, load_signer, make_key, sign
from tests.conftest import set_alias

NAME = "resnet20-cifar10"


def problems(findings: list[Finding]) -> list[str]:
    return [finding.text for finding in findings if finding.level is Level.PROBLEM]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store that holds one model."""
    shutil.copytree(ZOO / NAME, tmp_path / "store" / NAME)
    return tmp_path / "store"


def findings(folder: Path, **options: object) -> list[Finding]:
    return list(check_store(open_store(folder.as_uri()), **options))  # type: ignore[arg-type]


def test_each_problem_of_a_store_is_a_sentence(folder: Path) -> None:
    set_alias(folder, NAME, "7")
    assert f"{NAME}@prod points to version 7, which does not exist." in problems(findings(folder))
    (folder / NAME / "aliases.json").write_text("{")
    assert "aliases.json cannot be read" in problems(findings(folder))[0]
    (folder / NAME / "aliases.json").write_text('{"test": {"version": "1"}}')
    assert problems(findings(folder)) == [f"{NAME} has no alias prod, so it cannot be called by its name alone."]
    (folder / NAME / "aliases.json").unlink()
    assert "has no alias, so it cannot be called by its name alone" in problems(findings(folder))[0]
    set_alias(folder, NAME, "1")
    (folder / NAME / "2").mkdir()
    (folder / NAME / "2/model.onnx").write_bytes(b"half")
    assert "publishing was interrupted" in problems(findings(folder))[0]
    shutil.rmtree(folder / NAME / "2")
    graph = folder / NAME / "1/model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)
    assert problems(findings(folder)) == [], "the file names are right, and no content was read"
    assert "SHA-256 differs" in problems(findings(folder, deep=True))[0]
    (folder / NAME / "1/more.pkl").write_bytes(b"")
    assert problems(findings(folder)) == [f"{NAME}@1 has files that its manifest does not list: more.pkl."]
    graph.unlink()
    assert problems(findings(folder)) == [f"{NAME}@1 lacks model.onnx."]
    (folder / NAME / "1/manifest.json").write_text('{"schema": "x"}')
    assert problems(findings(folder))[0].startswith(f"{NAME}@1: ")
    shutil.rmtree(folder / NAME)
    assert "contains no models" in problems(findings(folder))[0]
    assert CliRunner().invoke(app, ["doctor", "--store", folder.as_uri()]).exit_code == 1


def test_signatures_are_checked_when_keys_are_given(folder: Path, tmp_path: Path) -> None:
    trusted = tmp_path / "keys"
    trusted.mkdir()
    (trusted / "ours.pem").write_bytes(make_key(tmp_path / "private.pem"))
    trust = signature.read(trusted)
    assert problems(findings(folder)) == []
    assert "is not signed" in problems(findings(folder, trust=trust))[0]
    raw = (folder / NAME / "1/manifest.json").read_bytes()
    bundle = sign(load_signer(str(tmp_path / "private.pem")), f"{NAME}@1", digests_of(parse(raw), raw))
    (folder / NAME / "1" / SIGNATURE).write_bytes(bundle)
    signed = findings(folder, trust=trust)
    assert problems(signed) == []
    assert any("was signed by ours.pem" in finding.text for finding in signed)


def test_a_store_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ACCESS_KEY_ID": "a",
        "SECRET_ACCESS_KEY": "b",
        "ENDPOINT_URL_S3": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    assert "cannot be listed" in problems(list(check_store(open_store("s3://bucket/models"))))[0]
