"""Character n-grams from an ARPA file: back-off and invalid files."""

from __future__ import annotations

import math

import pytest

from hearth.errors import IntegrityError
from hearth.ops.audio import ngram_lm

ARPA = """
\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-0.7 <s> -0.2
-1.0 </s>
-0.9 a -0.3
-0.6 b -0.1
-0.8 | -0.4

\\2-grams:
-0.2 <s> a
-0.1 a b
-0.3 b </s>

\\end\\
"""


def test_back_off_follows_the_arpa_file() -> None:
    language_model = ngram_lm.read(ARPA.encode(), ("a", "b", " ", ""), 1.0, 0.0)
    scores, state = [], ()
    for symbol in (0, 1, 1, 2):
        score, state = language_model.score(state, symbol)
        scores.append(score / math.log(10))
    # a after <s>; b after a; b after b: -0.1 backs off to -0.6; a space after b: -0.1 and -0.8.
    assert scores == pytest.approx([-0.2, -0.1, -0.7, -0.9])
    assert language_model.score_end((1,)) / math.log(10) == pytest.approx(-0.3)
    assert language_model.score_end(()) / math.log(10) == pytest.approx(-0.2 - 1.0)


@pytest.mark.parametrize("text", ["", "nothing of the kind", "\\1-grams:\nminus a", "\\2-grams:\n-1 a"])
def test_an_invalid_language_model_is_an_integrity_error(text: str) -> None:
    with pytest.raises(IntegrityError, match="language model"):
        ngram_lm.read(text.encode(), ("a",), 1.0, 0.0)
