from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from hearth_build.recipes.glove_50d import recipe


def test_words_have_their_vectors_and_unknown_ones_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = {"king": [1.0] * recipe.DIMENSIONS, "it's": [2.0] * recipe.DIMENSIONS}
    monkeypatch.setattr(recipe, "vectors", lambda: vectors)
    recipe.prepare(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ids = tokenizer.encode("King queen").ids
    assert ids == [1, 0]
    rows = recipe.network(tmp_path)(torch.tensor([ids]), torch.ones(1, 2).long())
    assert rows[0, :, 0].tolist() == [1.0, 0.0]
