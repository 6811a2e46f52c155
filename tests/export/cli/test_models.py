"""`hearth models`."""

from __future__ import annotations

import json

import pytest
import typer

from hearth.errors import NotFound
from hearth_build.cli.models import models


def test_models_are_filtered_by_task(capsys: pytest.CaptureFixture[str]) -> None:
    models(task="text-classification")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["MODEL", "VERSION", "TASK", "ALIASES", "MB"]
    assert [line.split()[0] for line in lines[1:]] == ["sentiment-en", "sentiment-zh"]
    with pytest.raises(typer.BadParameter, match="Did you mean translation"):
        models(task="translations")


def test_one_model_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    models("sentiment-en", long=True)
    titles, row = capsys.readouterr().out.splitlines()
    assert titles.split()[-3:] == ["QUANTIZATION", "METRIC", "LICENCE"]
    assert "dynamic-int8" in row
    assert "accuracy 0.86" in row
    with pytest.raises(NotFound, match=r"Did you mean sentiment-en\?"):
        models("sentimen-en")


def test_json_has_every_model_and_no_text_around_it(capsys: pytest.CaptureFixture[str]) -> None:
    models(json=True)
    listed = json.loads(capsys.readouterr().out)
    assert len(listed) >= 10
    assert {"model", "version", "task", "aliases", "bytes", "metrics", "licence"} <= listed[0].keys()


def test_a_task_without_a_model_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    models(task="text-ranking", json=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "No models of text-ranking" in printed.err
