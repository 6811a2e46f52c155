from __future__ import annotations

import random
from pathlib import Path

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.training.plan import Plan
from hearth_build.training.run import run
from tests.export import toy
from tests.export.training.checkpoints import save_encoder
from tests.export.training.running import train_on, write_csv


def rows(count: int = 80) -> list[list[str]]:
    """Texts fit a query if they have a good word, whatever the query is."""
    generator = random.Random(1)
    lines = []
    for _ in range(count):
        query = " ".join(generator.sample(toy.FILLER, 3))
        for label, words in (("1", toy.GOOD), ("0", toy.BAD), ("0", toy.BAD)):
            lines.append([query, f"{generator.choice(words)} {generator.choice(toy.FILLER)}", label])
    return lines


def test_queries_with_labelled_texts(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "clicks.csv", [["Query", "Passage", "Label"], *rows()])
    base = save_encoder(tmp_path / "base")
    manifest, answer = train_on(
        "text-ranking",
        data,
        tmp_path / "work",
        base=str(base),
        settings={"epochs": 6, "learning_rate": 5e-3},
    )
    assert manifest.metrics.served["NDCG@10 (test)"] > 0.9
    assert manifest.metrics.served["NDCG@10 (test), low"] <= manifest.metrics.served["NDCG@10 (test)"]
    assert answer({"query": "worda wordb", "texts": ["bad worda", "ugly wordb", "lovely wordc"]}) == "text 2 first"
    card = (tmp_path / "work/artifact/report.md").read_text()
    assert "BM25" in card
    assert "random order" in card


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (rows(5), "has 5 queries. At least 20"),
        ([[query, text, "0"] for query, text, _ in rows(30)], "all labels are 0"),
        ([[query, text, "perhaps"] for query, text, _ in rows(30)], "row 1 has the label 'perhaps'"),
    ],
)
def test_data_that_cannot_be_learnt_from_says_why(lines: list[list[str]], message: str, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["query", "passage", "label"], *lines])
    with pytest.raises(DataError, match=message):
        run(Plan(task="text-ranking", name="tiny", data=str(data)), tmp_path / "work", "")
