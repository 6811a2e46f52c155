from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations.fill_mask import EVALUATION, app
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model

WORDS = {"<mask>": [1], "oslo": [2], "rome": [3], "unbelievable": [4, 5]}


class Tokenizer:
    def encode(self, text: str, add_special_tokens: bool) -> Any:
        return SimpleNamespace(ids=WORDS[text])

    def id_to_token(self, number: int) -> str:
        return next(word for word, ids in WORDS.items() if ids == [number])


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model that always predicts Oslo, then Rome."""
    guesses = [
        SimpleNamespace(token=2, token_str="oslo", score=0.5),
        SimpleNamespace(token=3, token_str="rome", score=0.25),
    ]

    def answer(request: Any) -> Any:
        assert "<mask>" in request.inputs, "the mask is written as the model writes it"
        targets = request.parameters.targets
        return guesses if not targets else [guess for guess in guesses if guess.token_str == targets]

    answer_with(monkeypatch, app, answer)
    fake = model(head=SimpleNamespace(token_id=1))
    fake.tokenizer = Tokenizer()
    return fake


def test_only_words_of_one_token_are_counted(fake: Any) -> None:
    examples = [Example("in [MASK]", word) for word in ("oslo", "rome", "unbelievable", "oslo")]
    assert EVALUATION.measure(fake, examples) == pytest.approx(
        {"accuracy": 2 / 3, "accuracy of the best 5": 1, "perplexity": (2 * 2 * 4) ** (1 / 3), "covered": 3 / 4}
    )
    with pytest.raises(DataError, match="No masked word is a single token of fake"):
        EVALUATION.measure(fake, examples[2:3])


def test_a_token_that_only_one_output_has_differs_by_its_lead(fake: Any) -> None:
    output = EVALUATION.predict(fake, "in <mask>")
    assert EVALUATION.summarize(output) == "oslo"
    other = [{"token": 2, "word": "oslo", "score": 0.4}, {"token": 7, "word": "bonn", "score": 0.3}]
    assert EVALUATION.difference(output, other) == pytest.approx(0.1)
    assert EVALUATION.difference(output, [{"token": 7, "word": "bonn", "score": 0.3}]) == pytest.approx(0.2)


def test_words_of_plain_texts_are_masked_in_turn(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("anna berg works\n\nin oslo\n", encoding="utf-8")
    assert EVALUATION.read(tmp_path / "plain.txt") == [
        Example("[MASK] berg works", "anna"),
        Example("in [MASK]", "oslo"),
    ]
    (tmp_path / "a.tsv").write_text("in [MASK]\toslo\n", encoding="utf-8")
    assert EVALUATION.read(tmp_path / "a.tsv") == [Example("in [MASK]", "oslo")]


@pytest.mark.parametrize("text", ["no mask\tword", "[MASK] [MASK]\tword", "in [MASK]"])
def test_other_tables_are_refused_with_the_format(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.tsv must be a \.tsv file of .text with \[MASK\]<TAB>"):
        EVALUATION.read(tmp_path / "a.tsv")
    with pytest.raises(DataError, match="cannot be read"):
        EVALUATION.read(tmp_path / "missing.txt")
