from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from hearth_build.importing.decoder_families import FAMILIES, architecture_of
from hearth_build.importing.decoders import read_config
from hearth_build.importing.source import open_folder
from hearth_build.recipe import RecipeError
from tests.export.importing.decoder_checkpoints import CONFIGS, save


def test_each_kind_of_family_has_a_checkpoint_that_is_compared_with_transformers() -> None:
    compared = {id(FAMILIES[getattr(transformers, name).model_type]) for name, _ in CONFIGS.values()}
    assert [name for name, family in FAMILIES.items() if id(family) not in compared] == []


def architecture(folder: Path, **change: Any) -> Any:
    save(folder, "llama")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    read = read_config(open_folder(folder, "tiny"))
    return architecture_of(FAMILIES[read.model_type], read, {})


def test_a_configuration_that_changes_the_result_is_refused(tmp_path: Path) -> None:
    assert architecture(tmp_path).gated
    with pytest.raises(RecipeError, match="activation 'tanh' is not supported"):
        architecture(tmp_path, hidden_act="tanh")
