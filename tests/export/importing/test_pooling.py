from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.pooling import (
    append_to_graph,
    opset_of,
    pooling_methods,
    pooling_network,
    read_head,
    read_modules,
)
from hearth_build.importing.source import Source
from hearth_build.networks.pooling import PoolingNetwork
from hearth_build.recipe import RecipeError


def source(folder: Path, *kinds: str, pooling: dict[str, Any] | None = None) -> Source:
    """A folder with these modules of sentence-transformers."""
    modules = [{"type": f"sentence_transformers.models.{kind}", "path": kind} for kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    for kind in kinds:
        (folder / kind).mkdir()
    if "Pooling" in kinds:
        (folder / "Pooling/config.json").write_text(json.dumps(pooling or {"pooling_mode_mean_tokens": True}))
    if "Dense" in kinds:
        (folder / "Dense/config.json").write_text('{"in_features": 8, "out_features": 3}')
    return Source(folder, "tiny", {"hidden_size": 8})


@pytest.mark.parametrize(
    ("config", "methods"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ("mean", "max")),
        ({"pooling_mode": "lasttoken"}, ("last",)),
        ({"pooling_mode": ["mean", "weightedmean"]}, ("mean", "weighted")),
    ],
)
def test_methods_are_read_as_each_version_writes_them(config: Any, methods: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert pooling_methods(tmp_path / "config.json") == methods


@pytest.mark.parametrize(("config", "named"), [({}, "nothing"), ({"pooling_mode": "median"}, "median")])
def test_other_methods_are_refused(config: Any, named: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match=f"pools by {named}; imported are mean"):
        pooling_methods(tmp_path / "config.json")


def test_the_runtime_pools_what_it_can(tmp_path: Path) -> None:
    head = read_head(source(tmp_path, "Transformer", "Pooling", "Normalize"), ImportOptions(), 8)
    assert (head.method, head.normalise, head.dimensions) == ("mean", True, 8)
    assert read_head(Source(tmp_path / "Pooling", "tiny", {}), ImportOptions(pooling="cls"), 8).method == "cls"


def test_dense_layers_are_part_of_the_graph(tmp_path: Path) -> None:
    folder = source(tmp_path, "Transformer", "Pooling", "Dense")
    head = read_head(folder, ImportOptions(), 8)
    assert (head.method, head.dimensions) == ("none", 3)
    with pytest.raises(RecipeError, match=r"has no model\.safetensors"):
        pooling_network(read_modules(folder, ImportOptions()), folder)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (("Transformer", "CNN"), "has the module .*CNN; imported are"),
        (("Transformer",), "has no Pooling. Add --pooling"),
    ],
)
def test_other_modules_are_refused(kinds: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        read_modules(source(tmp_path, *kinds), ImportOptions())


def test_prompts_and_their_default_are_read(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "empty": ""}, "default_prompt_name": "query"}
    (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    head = read_head(source(tmp_path, "Pooling"), ImportOptions(), 8)
    assert (head.prompts, head.default_prompt) == ({"query": "query: "}, "query")


def test_pooling_is_appended_to_a_graph_of_any_opset() -> None:
    edges = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["b", "s", 4]) for name in ("x", "tokens")]
    mask = helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["b", "s"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["tokens"])], "g", [edges[0], mask], edges[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    network = PoolingNetwork(["max", "mean"], [])
    appended = append_to_graph(model, network, 4)
    assert opset_of(appended) >= 14
    onnx.checker.check_model(appended)
    session = onnxruntime.InferenceSession(appended.SerializeToString(), providers=["CPUExecutionProvider"])
    tokens = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    attention = (np.arange(5) < np.array([[5], [2], [1]])).astype(np.int64)
    expected = network(torch.from_numpy(tokens), torch.from_numpy(attention)).numpy()
    actual = session.run(["vectors"], {"x": tokens, "attention_mask": attention})[0]
    np.testing.assert_allclose(actual, expected, atol=1e-5)
