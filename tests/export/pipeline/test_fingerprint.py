from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hearth_build.data.datasets import OwnData
from hearth_build.pipeline.fingerprint import _without_docstrings, of_inputs, of_stage
from hearth_build.recipe import AdamW, load
from tests.export import toy


def test_inputs_are_those_that_prepare_reads(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("first")
    recipe = replace(toy.recipe(), inputs=(tmp_path / "a",))
    before = of_inputs(recipe)
    assert of_inputs(replace(recipe, description="Another.", limitations=("New.",))) == before
    changed = [
        replace(recipe, seed=2),
        replace(recipe, sources=(OwnData(Path("a.csv"), "1"),)),
        replace(recipe, inputs=()),
    ]
    (tmp_path / "a").write_text("second")
    assert len({before, of_inputs(recipe), *map(of_inputs, changed)}) == 5


def test_a_stage_is_that_of_its_numbers() -> None:
    stage = toy.stage()
    others = [replace(stage, epochs=9), replace(stage, optimiser=AdamW(learning_rate=1.0)), replace(stage, minutes=1.0)]
    fingerprints = {of_stage(item, 1, "a") for item in (stage, *others)}
    assert len(fingerprints | {of_stage(stage, 2, "a"), of_stage(stage, 1, "b")}) == 6
    assert of_stage(toy.stage(), 1, "a") in fingerprints


def test_comments_and_docstrings_are_no_code() -> None:
    assert _without_docstrings('def f():\n    """Old."""\n    return 1  # one\n') == _without_docstrings(
        'def f():\n    """New."""\n    return 1\n'
    )
    assert _without_docstrings("x = 1") != _without_docstrings("x = 2")


def test_the_code_of_our_own_recipes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load("sentiment-en")
    before = of_inputs(recipe)
    monkeypatch.setattr("hearth_build.pipeline.fingerprint._without_docstrings", lambda source: "other")
    assert of_inputs(recipe) != before
