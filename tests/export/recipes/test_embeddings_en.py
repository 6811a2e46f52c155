from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hearth_build.data.text import wordpiece
from hearth_build.recipes.embeddings_en import data, network
from hearth_build.recipes.embeddings_en.recipe import loss


def test_a_mean_counts_no_padding_and_has_length_one() -> None:
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]]])
    vector = data.mean_of(tokens, torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(vector, torch.tensor([[0.6, 0.8]]))


def test_vectors_are_in_the_order_of_the_texts() -> None:
    class Numbers(torch.nn.Module):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.one_hot(input_ids, 4).float()

    vectors = data.vectors_of(Numbers(), [[1, 1, 1], [2], [3, 3]], size=2)
    assert vectors.argmax(1).tolist() == [1, 2, 3]


def test_unused_pieces_are_left_out(tmp_path: Path) -> None:
    pieces = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    assert data.small_vocabulary(wordpiece(tmp_path / "vocab.txt")) == [pieces[0], *pieces[2:]]


def test_frequent_pieces_have_shorter_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(network, "WORDS", 20)
    for name, count in (("teacher-words", 20), ("teacher-texts", 40)):
        (tmp_path / name).mkdir()
        vectors = torch.nn.functional.normalize(torch.randn(count, data.DIMENSIONS), dim=1)
        torch.save(vectors, tmp_path / name / "0000.pt")
    student = network.student(tmp_path)
    lengths = student.words.weight.norm(dim=1)  # type: ignore[union-attr]
    assert (lengths[5:].diff() > 0).all()
    assert lengths[:5].max() < lengths[5]


def test_the_loss_is_zero_for_the_teachers_vectors() -> None:
    vectors = torch.eye(3)
    batch = {"input_ids": torch.arange(3)[:, None], "attention_mask": torch.ones(3, 1).long(), "teacher": vectors}
    identity = lambda ids, mask: torch.eye(3)[ids]  # noqa: E731
    assert loss(identity, batch).item() == pytest.approx(0, abs=1e-6)  # type: ignore[arg-type]
    assert loss(identity, batch | {"teacher": vectors.roll(1, 0)}).item() > 0.5  # type: ignore[arg-type]
