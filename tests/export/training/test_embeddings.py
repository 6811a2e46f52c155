from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from hearth.models.heads import Pooling
from hearth_build.data.datasets import DataError
from hearth_build.training.embeddings import contrast_loss
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.checkpoints import save_encoder
from tests.export.training.running import train_on, write_csv

PARTNERS = dict(zip(toy.FILLER, reversed(toy.FILLER), strict=True))
"""Words that mean the same."""


def texts(generator: random.Random) -> tuple[str, str]:
    words = generator.sample(toy.FILLER, 3)
    return " ".join(words), " ".join(PARTNERS[word] for word in words)


@pytest.mark.parametrize(
    ("form", "metric", "family"),
    [("pairs", "MRR@10", "bert"), ("triplets", "triplet accuracy", "roberta"), ("scores", "Spearman", "bert")],
)
def test_texts_that_belong_together(form: str, metric: str, family: str, tmp_path: Path) -> None:
    generator = random.Random(1)
    header = {"scores": ["sentence1", "sentence2", "score"], "pairs": ["anchor", "positive"]}.get(
        form, ["anchor", "positive", "negative"]
    )
    lines = []
    for number in range(150):
        first, second = texts(generator)
        other = texts(generator)[1]
        if form == "scores":
            lines.append([first, second if number % 2 else other, number % 2])
        else:
            lines.append([first, second, other][: len(header)])
    data = write_csv(tmp_path / "pairs.csv", [header, *lines])
    base = save_encoder(tmp_path / "base", family)
    settings = {"epochs": 5, "learning_rate": 5e-3}
    manifest, answer = train_on(
        "feature-extraction", data, tmp_path / "work", base=str(base), settings=settings, precision="fp32"
    )
    assert manifest.metrics.metric == metric
    assert manifest.metrics.served[f"{metric} (test)"] > 0.5
    closer = 0
    for _ in range(10):
        first, second = texts(generator)
        closer += float(answer([first, second])) > float(answer([first, texts(generator)[1]]))
    assert closer >= 7
    assert "| BM25 |" in (tmp_path / "work/artifact/report.md").read_text()


def test_texts_equal_to_the_own_partner_are_no_negatives() -> None:
    vectors = torch.eye(4)[[0, 1, 2, 3, 3, 2]]  # three firsts, then their partners, of which two are the same text
    batch = {"input_ids": vectors, "attention_mask": vectors, "scores": torch.tensor([7, 7, 9])}
    head = Pooling(method="none", normalise=True, dimensions=4)
    loss = contrast_loss(head, lambda ids, mask: ids, batch)  # type: ignore[arg-type]
    expected = torch.nn.functional.cross_entropy(
        torch.tensor([[0.0, -torch.inf, 0.0], [-torch.inf, 0.0, 0.0], [0.0, 0.0, 20.0]]), torch.arange(3)
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_test_data_of_another_form_are_refused(tmp_path: Path) -> None:
    scored = write_csv(
        tmp_path / "a.csv", [["sentence1", "sentence2", "score"], *[[f"a{n}", "b", n] for n in range(30)]]
    )
    pairs = write_csv(tmp_path / "b.csv", [["anchor", "positive"], *[[f"a{n}", f"b{n}"] for n in range(30)]])
    with pytest.raises(DataError, match="both with scores, or both without"):
        run(Plan(task="feature-extraction", name="tiny", data=str(scored), test=str(pairs)), tmp_path / "work", "")
