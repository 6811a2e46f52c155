from __future__ import annotations

import random
from pathlib import Path

import torch

from hearth_build.networks.bert import Classifier, Shape
from hearth_build.recipes.sentiment_en import data, network


def test_tokens_are_joined_as_people_write() -> None:
    assert data.detokenize("it 's a film you ca n't miss , really !") == "it's a film you can't miss, really!"


def test_labels_follow_the_last_tab(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a \ttext\t1\nother \t0\n")
    assert data.read_tabbed(tmp_path / "a.tsv") == [("a \ttext", 1), ("other", 0)]


def test_texts_of_the_dev_sets_are_not_labelled_by_the_teacher() -> None:
    reviews = ["a fine film that goes on and on for many hours"] * 3
    captions = [f"caption {number}" for number in range(5000)]
    texts = data.unlabelled(reviews + captions, {data.text_key("caption 7")}, random.Random(1))
    assert "caption 7" not in texts
    assert {"caption 6", "caption 8"} <= set(texts)
    assert len(texts) > 4999, "and parts of the reviews"


def test_the_student_begins_as_its_teacher_with_fewer_layers() -> None:
    shape = Shape(vocabulary=150, hidden=96, layers=6, heads=2, intermediate=8, positions=130, labels=2)
    teacher = Classifier(shape).state_dict()
    small = network.shrink(teacher)
    for student, layer in enumerate(network.LAYERS):
        name = "attention.output.dense.weight"
        expected = teacher[f"bert.encoder.layer.{layer}.{name}"]
        assert torch.equal(small[f"bert.encoder.layer.{student}.{name}"], expected)
    words = small["bert.embeddings.word_embeddings.weight"] @ small["bert.embeddings.projection.weight"].T
    torch.testing.assert_close(words, teacher["bert.embeddings.word_embeddings.weight"], atol=1e-4, rtol=1e-3)
    assert len(small["bert.embeddings.position_embeddings.weight"]) == network.MAX_TOKENS
