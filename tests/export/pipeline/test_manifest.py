from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hearth_build.pipeline.manifest import graph_bytes, machine, manifest_of
from hearth_build.recipe import NoQuantization, RecipeError
from tests.export import toy


def test_a_manifest_describes_the_files_of_its_folder(toy_work: Path) -> None:
    folder = toy_work / "artifact"
    manifest = manifest_of(toy.recipe(), folder, "by hand", "hearth build toy", 1.234)
    names = {path.name for path in folder.iterdir()} - {"manifest.json"}
    assert {file.path for file in manifest.files} == names
    assert (manifest.quantization.method, manifest.quantization.details) == ("dynamic-int8", "by hand")
    assert manifest.provenance.seconds == 1.2
    assert manifest.graphs["main"].outputs[0].shape == ("batch", 2)
    exact = replace(toy.recipe(), quantization={"main": NoQuantization()})
    assert manifest_of(exact, folder, "", "", 0).quantization.method == "none"


def test_labels_that_contradict_the_graph_are_refused(toy_work: Path) -> None:
    recipe = replace(toy.recipe(), labels=("bad", "fine", "good"))
    with pytest.raises(RecipeError, match=r"The model does not fit its description: .*--labels"):
        manifest_of(recipe, toy_work / "artifact", "", "", 0)


def test_the_size_is_that_of_graphs_and_weights(toy_work: Path) -> None:
    folder = toy_work / "artifact"
    expected = sum((folder / name).stat().st_size for name in ("model.onnx", "model.bin"))
    assert graph_bytes(toy.recipe(), folder) == expected


def test_the_machine_names_torch_only_where_it_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "torch" in machine()
    monkeypatch.delitem(sys.modules, "torch")
    assert ", onnxruntime " in machine()
