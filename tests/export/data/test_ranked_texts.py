from __future__ import annotations

from pathlib import Path

from hearth_build.data import ranked_texts
from tests.export.training.running import write_csv


def test_negatives_of_triplets_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("anchor,positive,negative\nhours,at nine,it rains\nweather,it rains,at nine\n")
    assert [item.expected for item in ranked_texts.read(tmp_path / "a.csv")] == [[1.0, 0.0], [1.0, 0.0]]


def test_labels_are_numbers_or_yes_and_no(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "a.csv", [["query", "text", "relevant"], ["q", "a", "Yes"], ["q", "b", "no"]])
    (example,) = ranked_texts.read(data)
    assert example.inputs == {"query": "q", "texts": ["a", "b"]}
    assert example.expected == [1.0, 0.0]


def test_queries_whose_texts_all_fit_get_texts_of_others_that_share_words(tmp_path: Path) -> None:
    lines = [
        ["query", "passage"],
        ["red apple", "apples are red"],
        ["blue sky", "the sky is blue"],
        ["red sky", "dawn"],
    ]
    first, *_ = ranked_texts.read(write_csv(tmp_path / "a.csv", lines))
    assert first.inputs["texts"][0] == "apples are red"
    assert first.expected == [1.0, 0.0, 0.0]
