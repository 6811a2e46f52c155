from __future__ import annotations

from pathlib import Path

import pytest

from hearth_build.importing.base import ImportOptions, Notes, model_name, require_flags
from hearth_build.importing.source import Source
from hearth_build.recipe import RecipeError


def source(title: str, path: Path = Path("/models/a")) -> Source:
    return Source(path, title, {})


@pytest.mark.parametrize(
    ("title", "name"),
    [("owner/My Model@abc", "my-model"), ("BERT_base.v1", "bert_base.v1"), ("x" * 80, "x" * 63)],
)
def test_the_name_is_made_of_that_of_the_source(title: str, name: str) -> None:
    assert model_name(source(title), ImportOptions()) == name


@pytest.mark.parametrize("name", ["My Model", "-a", "模型", "x" * 64])
def test_a_name_that_urls_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="is not a valid model name: --name takes"):
        model_name(source("a"), ImportOptions(name=name))


def test_missing_flags_are_named_with_what_is_known() -> None:
    require_flags("a.onnx", ["input x"], Notes(guesses=["the layout"]))
    with pytest.raises(RecipeError, match=r"a.onnx contains\n  input x\nAdd flags .*:\n  --pixels\n  --size"):
        require_flags("a.onnx", ["input x"], Notes(missing=["--pixels", "--size"]))
