from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.importing.base import ImportOptions
from hearth_build.importing.onnx_whisper import accepts, read
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError

GRAPHS = (Path("/models/a/encoder_model.onnx"),)


def test_graphs_of_whisper_are_read_where_there_are_no_weights() -> None:
    whisper = {"model_type": "whisper"}
    folder = Path("/models/a")
    assert accepts(Source(folder, "tiny", whisper, GRAPHS), ImportOptions())
    assert not accepts(Source(folder, "tiny", whisper), ImportOptions())
    assert not accepts(Source(folder, "tiny", {"model_type": "t5"}, GRAPHS), ImportOptions())
    assert not accepts(Source(folder, "tiny", whisper, GRAPHS), ImportOptions(task="tensors"))


def test_what_the_folder_lacks_is_named(tmp_path: Path) -> None:
    source = Source(tmp_path, "tiny", {"model_type": "whisper"}, (tmp_path / "encoder_model.onnx",))
    with pytest.raises(RecipeError, match=r"tokenizer\.json"):
        read(source, ImportOptions())
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(RecipeError, match=r"decoder_model_merged\.onnx"):
        read(source, ImportOptions())
