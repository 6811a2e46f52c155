from __future__ import annotations

from pathlib import Path
from typing import Any

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.recipe import import_recipe
from hearth_build.importing.source import Source
from hearth_build.recipe import NoQuantization


def recipe(folder: Path, config: dict[str, Any], **options: Any) -> Any:
    fields: dict[str, Any] = {"task": "text-classification", "description": "", "graphs": {}, "golden": lambda: ()}
    source = Source(folder, "owner/name@1", config)
    return import_recipe(source, ImportOptions(**options), preprocessing=None, **fields)


def test_nothing_is_trained_and_the_origin_is_named(tmp_path: Path) -> None:
    made = recipe(tmp_path, {"license": "mit", "_name_or_path": "owner/original"})
    assert (made.stages, made.quantization, made.licence) == ((), NoQuantization(), "mit")
    assert made.parents == ("owner/original",)
    assert recipe(tmp_path, {}, licence="apache-2.0").licence == "apache-2.0"
    assert recipe(tmp_path, {}).parents == ("owner/name@1",)


def test_a_changed_tokenizer_prepares_anew_and_weights_are_read_at_each_build(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "model.safetensors", "model.onnx", "weights.bin"):
        (tmp_path / name).write_text(name)
    made = recipe(tmp_path, {})
    assert made.inputs == (tmp_path / "tokenizer.json",)
    (tmp_path / "work").mkdir()
    made.prepare(tmp_path / "work")
    assert (tmp_path / "work/tokenizer.json").read_text() == "tokenizer.json"
