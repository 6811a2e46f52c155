from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hearth_build.data.datasets import DataError
from hearth_build.evaluations import text_generation
from hearth_build.evaluations.text_generation import EVALUATION, pieces, score, windows
from hearth_build.recipe import Example
from tests.export.evaluations.fakes import answer_with, model


class Letters:
    """A token for each character, of which all but the first four are moved to `overflowing`."""

    def encode(self, text: str, add_special_tokens: bool) -> Any:
        ids = [ord(character) for character in text]
        overflowing = [SimpleNamespace(ids=ids[4:])] if ids[4:] else []
        return SimpleNamespace(ids=ids[:4], overflowing=overflowing)

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model for which each token has the probability 1/2."""
    monkeypatch.setattr(
        text_generation, "log_likelihoods", lambda model, ids: np.full(len(ids) - 1, math.log(1 / 2), np.float32)
    )
    monkeypatch.setattr(text_generation, "render_prompt", lambda model, messages: f"{len(messages)}:")
    fake = model()
    fake.tokenizer, fake.head = Letters(), SimpleNamespace(context=8, eos=(0,))
    return fake


def test_windows_count_each_token_once_after_half_a_context() -> None:
    for count in (2, 8, 9, 30):
        ids, end = list(range(count)), 1
        for window, counted in windows(ids, 8):
            assert list(window) == ids[max(0, end + counted - 8) : end + counted][-len(window) :]
            assert len(window) <= 8
            assert end < 8 or len(window) - counted >= 4
            end += counted
        assert end == count


def test_the_first_token_of_a_text_is_not_predicted(fake: Any) -> None:
    metrics = EVALUATION.measure(fake, [Example("abcdefghijklm", None)])
    assert metrics == pytest.approx(
        {"nats a character": math.log(2), "nats a token": math.log(2), "perplexity": 2, "characters a token": 1},
        rel=1e-5,
    )
    with pytest.raises(DataError, match="fewer than two tokens"):
        score(None, [Example("a", None)], [(0.0, 0, 0)])


def test_a_text_is_predicted_from_the_one_before_it(fake: Any) -> None:
    ((ids, first, characters),) = pieces(fake, Example("ab", "before"))
    assert fake.tokenizer.decode(ids) == "foreab", "half a context of it"
    assert (first, characters) == (4, 2)


def test_what_the_assistant_says_is_predicted(fake: Any) -> None:
    messages = [("user", "hi"), ("assistant", "yes"), ("user", "so"), ("assistant", "no")]
    example = Example({"messages": [{"role": role, "content": text} for role, text in messages]}, None)
    first, second = pieces(fake, example)
    assert (fake.tokenizer.decode(first[0]), *first[1:]) == ("1:yes\0", 2, 3)
    assert (fake.tokenizer.decode(second[0]), *second[1:]) == ("3:no\0", 2, 2)


def test_outputs_are_compared_by_their_probabilities(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Any) -> Any:
        assert request.parameters.max_new_tokens == 5, "what the context leaves"
        return [SimpleNamespace(generated_text=" and so\non")]

    answer_with(monkeypatch, text_generation.app, answer)
    output = EVALUATION.predict(fake, "ab")
    assert output["logprobs"] == [pytest.approx(math.log(1 / 2), abs=1e-4)]
    assert EVALUATION.difference(output, {"generated_text": "other", "logprobs": [-0.5]}) == pytest.approx(
        0.193, abs=1e-3
    )
    assert EVALUATION.summarize(output) == "and so"
