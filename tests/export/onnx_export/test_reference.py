from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hearth_build.onnx_export.reference import ReferenceModel


def served(**fields: Any) -> Any:
    names = ("manifest", "resources", "input_names", "preprocessing", "head")
    return SimpleNamespace(**dict.fromkeys(names, "served"), **fields)


def test_everything_but_the_sessions_is_that_of_the_artifact() -> None:
    reference = ReferenceModel(served(tokenizer="words", unknown_token=3))
    assert (reference.manifest, reference.head, reference.tokenizer) == ("served", "served", "words")
    assert reference.unknown_token is None, "what a reference sees is not counted"


def test_a_model_without_texts_has_no_tokenizer() -> None:
    assert not hasattr(ReferenceModel(served()), "tokenizer")
