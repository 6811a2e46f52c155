from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.pipeline import build, padding, precision
from hearth_build.pipeline.measurements import DIFFERENCE
from hearth_build.pipeline.precision import build_import
from hearth_build.recipe import BlockInt4, DynamicInt8, GateError, NoQuantization, RecipeError
from tests.export import toy

QUANTIZERS: Any = {"int8": DynamicInt8(), "int4": BlockInt4()}
NAMES = {NoQuantization: "fp32", DynamicInt8: "int8", BlockInt4: "int4"}


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Times of the precisions in milliseconds, fp32's being 10; a precision without one misses its gate."""
    times = {"fp32": 10.0}

    def verify(recipe: Any, work: Path, command: str, provider: str) -> Any:
        name = NAMES[type(recipe.quantization)]
        if name not in times:
            raise GateError(f"{name} costs too much.")
        (work / "artifact").mkdir()
        (work / "artifact/name").write_text(json.dumps([name, recipe.gate.accepts_rounding]))
        metrics = {"milliseconds": times[name], DIFFERENCE: 0.1}
        return SimpleNamespace(
            metrics=SimpleNamespace(fp32=metrics | {"milliseconds": 10.0}, served=metrics, metric=DIFFERENCE)
        )

    for step in ("prepare", "export_graphs", "quantize_graphs"):
        monkeypatch.setattr(build, step, lambda recipe, work: None)
    monkeypatch.setattr(build, "verify_artifact", verify)
    monkeypatch.setattr(padding, "limit_to_one_text", lambda recipe, work: recipe)
    return times


def chosen(work: Path, name: str = "auto") -> tuple[str, bool, list[str]]:
    _, sentences = build_import(toy.recipe(), QUANTIZERS, work, "hearth import", name)
    built, accepts = json.loads((work / "artifact/name").read_text())
    assert [path.name for path in work.iterdir()] == ["artifact"], "the others are removed"
    return built, accepts, sentences


def test_the_fastest_is_kept(speeds: dict[str, float], tmp_path: Path) -> None:
    speeds |= {"int8": 5.0, "int4": 4.0}
    built, _, sentences = chosen(tmp_path)
    assert built == "int4"
    assert sentences[0] == "int8 is 2.00 times as fast as fp32, golden answers differ by 0.1"
    assert sentences[-1] == "precision: int4"


def test_a_precision_that_misses_its_gate_is_not_used(speeds: dict[str, float], tmp_path: Path) -> None:
    speeds["int8"] = 5.0
    built, _, sentences = chosen(tmp_path)
    assert built == "int8"
    assert "int4 is not used: int4 costs too much." in sentences


def test_fp32_is_left_where_the_others_are_slower(speeds: dict[str, float], tmp_path: Path) -> None:
    speeds["int8"] = 10 / precision.MIN_SPEED + 0.1
    assert chosen(tmp_path)[:2] == ("fp32", True), "its rounding has no limit"


def test_a_precision_that_was_requested_has_no_limit_of_rounding(speeds: dict[str, float], tmp_path: Path) -> None:
    speeds["int4"] = 20.0
    assert chosen(tmp_path, "int4")[:2] == ("int4", True)


def test_a_precision_that_does_not_fit_the_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match="toy cannot be quantized to given; --precision can be auto, fp32, int8, int4"
    ):
        build_import(toy.recipe(), QUANTIZERS, tmp_path, "", "given")
