from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hearth_build.data import ranked_texts, sentence_pairs
from hearth_build.data.datasets import DataError

DPR = {
    "question": "opening hours",
    "answers": ["nine"],
    "positive_ctxs": [{"title": "Hours", "text": "We open at nine."}],
    "negative_ctxs": [{"title": "", "text": "It rains."}],
    "hard_negative_ctxs": [],
}
LISTS = {"query": "opening hours", "pos": ["Hours We open at nine."], "neg": ["It rains."]}
TEVATRON = {
    "query": "opening hours",
    "positive_passages": DPR["positive_ctxs"],
    "negative_passages": [{"text": "It rains."}],
}


@pytest.mark.parametrize("item", [DPR, LISTS, TEVATRON])
def test_lists_of_texts_are_read(item: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([item]))
    (example,) = ranked_texts.read(tmp_path / "a.json")
    assert example.inputs == {"query": "opening hours", "texts": ["Hours We open at nine.", "It rains."]}
    assert example.expected == [1.0, 0.0]
    (pair,) = sentence_pairs.read(tmp_path / "a.json")
    assert (pair.inputs, pair.expected) == (["opening hours", "Hours We open at nine.", "It rains."], None)


def test_beir_is_read(tmp_path: Path) -> None:
    lines = ['{"_id": "d1", "title": "Hours", "text": "We open at nine."}', '{"_id": "d2", "text": "It rains."}']
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    (tmp_path / "queries.jsonl").write_text('{"_id": "1", "text": "opening hours"}\n{"_id": "2", "text": "weather"}\n')
    with pytest.raises(DataError, match=r"is a folder; it must be a table, or .*BEIR"):
        sentence_pairs.read(tmp_path)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\n1\td1\t1\n1\td2\t0\n2\td2\t2\n")
    first, second = sentence_pairs.read(tmp_path)
    assert (first.inputs, second.inputs) == (["opening hours", "Hours We open at nine."], ["weather", "It rains."])
    assert ranked_texts.read(tmp_path)[0].expected == [1.0, 0.0]
