"""`hearth evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.export.cli.test_main import hearth


def test_evaluate_measures_on_the_users_file(toy_work: Path, tmp_path: Path) -> None:
    store = ("--store", (tmp_path / "store").as_uri())
    hearth("publish", str(toy_work / "artifact"), *store, "--alias", "prod", cwd=tmp_path)
    data = tmp_path / "mine.tsv"
    data.write_text("good great worda\t1\nbad awful wordb\t0\ngood great wordc\t0\n", encoding="utf-8")
    result = hearth("evaluate", "toy", "--data", str(data), *store, cwd=tmp_path)
    assert "toy@1 on 3 examples" in result.stdout, result.stderr
    assert "accuracy  0.6667" in result.stdout
    measured = hearth("evaluate", "toy", "--data", str(data), *store, "--json", cwd=tmp_path)
    assert json.loads(measured.stdout)["examples"] == 3
    data.write_text("no label here\n", encoding="utf-8")
    assert "reads a CSV, TSV" in hearth("evaluate", "toy", "--data", str(data), *store, cwd=tmp_path).stderr
    missing = hearth("evaluate", "toy", "--data", "nowhere", *store, cwd=tmp_path)
    assert "nowhere does not exist" in missing.stderr
    assert missing.returncode == 1
