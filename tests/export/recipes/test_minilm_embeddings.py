from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from hearth_build.data.text import pad
from hearth_build.recipes.minilm_embeddings import recipe
from tests.export.training.checkpoints import save_encoder


def test_vectors_are_those_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_encoder(tmp_path / "package")
    monkeypatch.setattr(recipe, "minilm", lambda: tmp_path / "package")
    (tmp_path / "work").mkdir()
    recipe.prepare(tmp_path / "work")
    assert (tmp_path / "work/tokenizer.json").read_bytes() == (tmp_path / "package/tokenizer.json").read_bytes()
    batch = pad([[2, 10, 11, 3]])
    reference = transformers.AutoModel.from_pretrained(tmp_path / "package").eval()
    with torch.no_grad():
        expected, actual = reference(**batch).last_hidden_state, recipe.network(tmp_path).eval()(**batch)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
