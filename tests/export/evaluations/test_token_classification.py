from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations import token_classification as evaluation
from hearth_build.recipe import Example

CONLL = "-DOCSTART- -X- O\n\nAnna NNP B-PER\nBerg NNP I-PER\nin IN O\nOslo NNP B-LOC\n. . O\n"


CHARACTERS = "王\tB-PER\n明\tE-PER\n到\tO\n北\tB-LOC\n京\tM-LOC\n\n3\tO\n3\tO\n"


def test_evaluation_reads_words_and_characters(tmp_path: Path) -> None:
    for name, text in (("words.txt", CONLL), ("characters.txt", CHARACTERS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    words = evaluation.read(tmp_path / "words.txt")
    assert words == [Example("Anna Berg in Oslo .", [[0, 9, "PER"], [13, 17, "LOC"]])]
    characters = evaluation.read(tmp_path / "characters.txt")
    assert characters == [Example("王明到北京", [[0, 2, "PER"], [3, 5, "LOC"]]), Example("33", [])]
    (tmp_path / "bad.txt").write_text("no label here\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 1 .*CoNLL"):
        evaluation.read(tmp_path / "bad.txt")


def test_difference_of_two_outputs_is_that_of_their_scores() -> None:
    def token(entity: str, score: float) -> list[dict[str, Any]]:
        return [{"word": "anna", "entity": entity, "score": score}]

    assert evaluation.difference(token("O", 0.9), token("O", 0.7)) == pytest.approx(0.2)
    assert evaluation.difference(token("O", 0.9), token("B-PER", 0.8)) == pytest.approx(0.7)
    assert evaluation.difference(token("O", 0.34), token("B-PER", 0.35)) == pytest.approx(0, abs=0.02)
