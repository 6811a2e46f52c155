from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hearth_build.cloud.cost_probe import main


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Statuses with which the function of the probe answers, one after another."""
    statuses: list[int] = []
    app: Any = ModuleType("hearth_functions.fake.app")
    app.handler = lambda event, context: {"statusCode": statuses.pop(0), "body": json.dumps(event)}
    monkeypatch.setitem(sys.modules, "hearth_functions.fake", ModuleType("hearth_functions.fake"))
    monkeypatch.setitem(sys.modules, "hearth_functions.fake.app", app)
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, processors: None)
    job = {"function": "fake", "event": {"path": "/"}, "calls": 3, "processors": 1}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job)))
    return statuses


def test_the_first_call_is_cold_and_the_others_are_warm(answers: list[int], tmp_path: Path) -> None:
    answers += [200] * 4
    main(tmp_path / "result.json")
    assert answers == [], "one cold call and three warm ones"
    measured = json.loads((tmp_path / "result.json").read_text())
    assert measured["cold_ms"] > measured["warm_ms"], "it includes the start of the process"
    assert measured["peak_mb"] > 1


def test_a_failed_call_ends_the_probe_with_its_reason(answers: list[int], tmp_path: Path) -> None:
    answers += [503]
    with pytest.raises(SystemExit, match=r'status 503: {"path": "/"}'):
        main(tmp_path / "result.json")
    assert not (tmp_path / "result.json").exists()
