"""From recipe to artifact, step by step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hearth_build.data.datasets import OwnData
from hearth_build.importing import read
from hearth_build.importing.base import ImportOptions
from hearth_build.pipeline import train
from hearth_build.pipeline.build import Step, build, prepare
from hearth_build.recipe import Recipe, RecipeError
from tests.export import toy


def test_a_step_out_of_order_error_names_the_step_to_run(tmp_path: Path) -> None:
    for step, previous in ((Step.TRAIN, "prepare"), (Step.EXPORT, "train"), (Step.QUANTIZE, "export")):
        with pytest.raises(RecipeError, match=f"--step {previous}"):
            build(toy.recipe(), tmp_path, "hearth build toy", step)


def test_a_missing_provider_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="pip install onnxruntime-openvino"):
        build(toy.recipe(), tmp_path, "hearth build toy", provider="openvino")
    assert not list(tmp_path.iterdir())


def test_changed_inputs_run_a_complete_step_again(tmp_path: Path) -> None:
    prepared: list[str] = []
    tokenizer = tmp_path / "tokenizer.json"
    recipe = replace(toy.recipe(), inputs=(tokenizer,), prepare=lambda work: prepared.append(tokenizer.read_text()))
    for text in ("first", "first", "second", "second"):
        tokenizer.write_text(text)
        prepare(recipe, tmp_path)
    assert prepared == ["first", "second"]


def test_a_name_that_is_built_again_gets_the_new_tokenizer(tmp_path: Path) -> None:
    checkpoints = pytest.importorskip("tests.functions.checkpoints", reason="the export extra is not installed")
    ids = []
    for number in range(2):
        folder = tmp_path / f"hf{number}"
        checkpoints.save(folder, "BertForSequenceClassification")
        document = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = document["model"]["vocab"]
        first, second = list(vocabulary)[-2:]
        if number:
            vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
        (folder / "tokenizer.json").write_text(json.dumps(document))
        prepare(read(str(folder), ImportOptions(name="mine")).recipe, tmp_path)
        ids.append(json.loads((tmp_path / "tokenizer.json").read_text())["model"]["vocab"][first])
    assert ids[0] != ids[1]


def test_a_stage_is_trained_again_for_other_data_or_settings(tmp_path: Path) -> None:
    toy.prepare(tmp_path)
    stage = toy.stage(epochs=1)
    weights = train.train(stage, tmp_path, seed=1, inputs="a")
    trained = weights.stat().st_mtime_ns
    assert train.train(stage, tmp_path, seed=1, inputs="a").stat().st_mtime_ns == trained
    for seed, inputs in ((1, "b"), (2, "b")):
        previous, trained = trained, train.train(stage, tmp_path, seed=seed, inputs=inputs).stat().st_mtime_ns
        assert trained > previous


def test_preparation_is_repeated_for_other_data(tmp_path: Path) -> None:
    prepared: list[str] = []

    def recipe(checksum: str) -> Recipe:
        sources = (OwnData(Path("reviews.csv"), checksum),)
        return replace(toy.recipe(), sources=sources, prepare=lambda work: prepared.append(checksum))

    for checksum in ("1", "1", "2"):
        prepare(recipe(checksum), tmp_path)
    assert prepared == ["1", "2"]
