from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hearth_build.importing.decoder_weights import Family, FamilyWeights, by_group, by_head, by_shard
from hearth_build.importing.tensor_files import TensorFiles
from hearth_build.recipe import RecipeError

FAMILY = Family(
    root="model.",
    layers="layers",
    names={"tokens": "embed", "head": "lm_head", "norm": "norm", "attention.qkv": ("q", "k", "v")},
    norm_offset=1.0,
)
CONFIG = SimpleNamespace(tie_word_embeddings=False, model_type="toy")


def weights_of(folder: Path, tensors: dict[str, Any], family: Family = FAMILY, config: Any = CONFIG) -> FamilyWeights:
    save_file({name: torch.tensor(values) for name, values in tensors.items()}, folder / "model.safetensors")
    return FamilyWeights(family, config, TensorFiles(folder))


def test_parts_of_a_packed_matrix_are_joined(tmp_path: Path) -> None:
    parts = {f"model.layers.0.{name}.weight": [[float(number)]] for number, name in enumerate("qkv")}
    weights = weights_of(tmp_path, {**parts, "model.norm.weight": [1.0, 2.0]})
    assert weights("blocks.0.attention.qkv.weight").tolist() == [[0.0], [1.0], [2.0]]  # type: ignore[union-attr]
    assert weights("norm.weight").tolist() == [2.0, 3.0], "the family's norms are stored less one"  # type: ignore[union-attr]
    assert weights("blocks.0.attention.qkv.bias") is None
    weights.check_all_read()


def test_a_checkpoint_that_lacks_a_part_or_has_more_is_refused(tmp_path: Path) -> None:
    weights = weights_of(tmp_path, {"model.layers.0.q.weight": [[1.0]], "model.extra.weight": [1.0]})
    with pytest.raises(RecipeError, match=r"has no model.layers.0.k.weight, model.layers.0.v.weight; .*incomplete"):
        weights("blocks.0.attention.qkv.weight")
    with pytest.raises(RecipeError, match=r"weights that a toy model does not use, such as model.extra.weight"):
        weights.check_all_read()


def test_a_tied_output_matrix_is_not_stored_twice(tmp_path: Path) -> None:
    tied = SimpleNamespace(tie_word_embeddings=True, model_type="toy")
    weights = weights_of(tmp_path, {"lm_head.weight": [[1.0]]}, config=tied)
    assert weights("head.weight") is None
    weights.check_all_read()


def test_packed_rows_are_ordered_by_query_key_and_value() -> None:
    names = ["q0", "k0", "v0", "q1", "k1", "v1"]
    config = SimpleNamespace(num_attention_heads=2, num_kv_heads=1, new_decoder_architecture=True)
    rows = np.arange(6.0)[:, None]

    def order(unpack: Any, given: list[str]) -> list[str]:
        return [given[int(row)] for row in unpack(config, rows[: len(given)])[:, 0]]

    assert order(by_head, names) == ["q0", "q1", "k0", "k1", "v0", "v1"]
    assert order(by_group, ["q0", "q1", "k", "v"]) == ["q0", "q1", "k", "v"]
    shards = np.arange(12.0)[:, None]  # of each of four parts: query, value, key
    assert by_shard(config, shards)[:, 0].tolist() == [0, 3, 6, 9, 2, 5, 8, 11, 1, 4, 7, 10]
