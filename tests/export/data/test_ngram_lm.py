from __future__ import annotations

import pytest

from hearth.ops.audio import ngram_lm
from hearth_build.data.ngram_lm import arpa


def test_probabilities_of_letters_sum_to_one_after_any_context() -> None:
    texts = ["two one", "one", "one two two", "ten"]
    language_model = ngram_lm.read(arpa(texts, order=3), (*" abcdefghijklmnopqrstuvwxyz", ""), 1.0, 0.0)
    tokens = [gram[0] for gram in language_model.grams if len(gram) == 1 and gram[0] != ngram_lm.START]
    for context in [(), ("o",), ("t",), ("|",), ("o", "n"), (ngram_lm.START, "t"), ("n", "o"), ("w", "e")]:
        assert sum(10 ** language_model.probability(context, token) for token in tokens) == pytest.approx(1, abs=2e-3)
    assert 10 ** language_model.probability(("t",), "w") == pytest.approx((3 - 0.5) / 4, abs=1e-3)
