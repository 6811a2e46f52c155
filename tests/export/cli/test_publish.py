"""`hearth publish` and `hearth alias`."""

from __future__ import annotations

import json
from pathlib import Path

from hearth_build import ZOO
from tests.export.cli.test_main import hearth


def test_publish_list_alias_and_predict(toy_work: Path, tmp_path: Path) -> None:
    store = ("--store", (tmp_path / "store").as_uri())
    published = hearth("publish", str(toy_work / "artifact"), *store, "--alias", "prod", cwd=tmp_path)
    assert "Published toy@1 as prod" in published.stdout, published.stderr
    assert "canary" in hearth("alias", "toy", "canary", "1", *store, cwd=tmp_path).stdout
    listed = hearth("models", *store, cwd=tmp_path).stdout
    assert "toy" in listed
    assert "canary, prod" in listed
    predicted = hearth("predict", "toy@canary", "good great worda", *store, cwd=tmp_path)
    assert json.loads(predicted.stdout)[0][0]["label"] == "positive", predicted.stderr
    best = hearth("predict", "toy", "bad", *store, "--parameters", '{"top_k": 1}', cwd=tmp_path)
    assert [score["label"] for score in json.loads(best.stdout)[0]] == ["negative"], best.stderr
    table = hearth("models", *store, "--markdown", cwd=tmp_path).stdout
    assert "| `toy` | text-classification | accuracy, made-up sentences |" in table


def test_publishing_without_an_alias_says_that_nothing_points_there(tmp_path: Path) -> None:
    store = ("--store", (tmp_path / "store").as_uri())
    published = hearth("publish", str(ZOO / "sentiment-zh/1"), *store, cwd=tmp_path)
    assert "No alias points to this version" in published.stdout, published.stderr
    command = next(line for line in published.stdout.splitlines() if line.startswith("Next: hearth "))
    assert hearth(*command.split()[2:], cwd=tmp_path).returncode == 0
    assert "prod" in hearth("models", *store, cwd=tmp_path).stdout
