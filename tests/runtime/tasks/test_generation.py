"""Generation with the zoo's language model: the cache, stop strings, limits and log-likelihoods.

`tests/functions/test_text_generation.py` compares the same code with transformers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from hearth import deadline, settings
from hearth.errors import DeadlineExceeded
from hearth.models.cache import warm_cache
from hearth.tasks.generation import (
    CHUNK,
    Generation,
    KeyValueCache,
    LanguageModel,
    Piece,
    Sampling,
    generate,
    log_likelihoods,
    new_seed,
    vocabulary_size,
)
from hearth.tasks.task import Usage
from hearth_build import ZOO

QUANTIZED = 0.3
"""Tolerance of logits: the graph quantizes activations by the largest one of each run, so it depends on its parts."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_STORE", ZOO.as_uri())
        patch.setenv("HEARTH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HEARTH_THREADS", "1")
        settings.get.cache_clear()
        warm_cache.cache_clear()
        with warm_cache().get("gpt-shakespeare") as loaded:
            yield loaded
    settings.get.cache_clear()
    warm_cache.cache_clear()


@pytest.fixture(autouse=True)
def no_deadline() -> Iterator[None]:
    token = deadline._end.set(None)
    yield
    deadline._end.reset(token)


def prompt(model: LanguageModel, text: str = "ROMEO:\n") -> list[int]:
    return list(model.tokenizer.encode(text).ids)


def texts(pieces: Iterator[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def test_a_prompt_may_be_read_in_any_parts(model: LanguageModel) -> None:
    tokens = (prompt(model, "The king and the queen are here, my lord. ") * 20)[: CHUNK + 20]
    whole = KeyValueCache(model, len(tokens))
    expected = whole.read_prompt(tokens).copy()
    assert whole.tokens == tokens
    assert expected.shape == (vocabulary_size(model),)
    parts = KeyValueCache(model, len(tokens))
    parts.read(tokens[:3])
    parts.read(tokens[3:10])
    np.testing.assert_allclose(parts.read(tokens[10:])[0], expected, atol=QUANTIZED)


def test_logits_are_given_for_any_rows(model: LanguageModel) -> None:
    tokens = prompt(model)
    rows = KeyValueCache(model, 50).read(tokens, range(len(tokens))).copy()
    last = KeyValueCache(model, 50).read(tokens).copy()
    np.testing.assert_allclose(rows[-1], last[0], atol=1e-4)
    first = KeyValueCache(model, 50).read(tokens[:1])
    np.testing.assert_allclose(rows[0], first[0], atol=QUANTIZED)


def test_log_likelihoods_are_those_of_the_generated_tokens(model: LanguageModel) -> None:
    tokens = prompt(model)
    pieces = list(generate(model, tokens, 6, Sampling()))
    scores = log_likelihoods(model, [*tokens, *(piece.token for piece in pieces)])
    assert len(scores) == len(tokens) + 5
    np.testing.assert_allclose(scores[-6:], [piece.logprob for piece in pieces], atol=QUANTIZED)
    assert log_likelihoods(model, tokens[:1]).tolist() == []


def test_the_likeliest_tokens_come_with_each_piece(model: LanguageModel) -> None:
    for piece in generate(model, prompt(model), 3, Sampling(), top=2):
        assert piece.top[0][0] == piece.token
        assert len(piece.top) == 2
        assert piece.top[0][2] == pytest.approx(piece.logprob)
        assert piece.top[0][2] >= piece.top[1][2]
        assert piece.top[0][1] == model.tokenizer.decode([piece.token])
    assert all(piece.top == () for piece in generate(model, prompt(model), 2, Sampling()))


def test_a_text_ends_with_its_length_or_a_stop_string(model: LanguageModel) -> None:
    pieces = list(generate(model, prompt(model), 8, Sampling()))
    assert [piece.finish for piece in pieces] == [None] * 7 + ["length"]
    text = texts(iter(pieces))
    stop = text[3:5]
    stopped = list(generate(model, prompt(model), 8, Sampling(), stop=[stop]))
    assert stopped[-1].finish == "stop_sequence"
    assert texts(iter(stopped)) == text[: text.index(stop)]
    held = list(generate(model, prompt(model), 8, Sampling(), stop=[text[-1] + "never"]))
    assert texts(iter(held)) == text  # the beginning of a stop string is held back, and sent at the end


def test_an_end_token_is_no_text(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace

    pieces = list(generate(model, prompt(model), 4, Sampling()))
    monkeypatch.setattr(model, "head", replace(model.head, eos=(pieces[2].token,)))
    ended = list(generate(model, prompt(model), 4, Sampling()))
    assert [piece.token for piece in ended] == [piece.token for piece in pieces[: len(ended)]]
    assert (ended[-1].finish, ended[-1].special) == ("eos_token", True)


def test_a_seed_repeats_a_sample_and_a_bias_forbids_a_token(model: LanguageModel) -> None:
    def sample(**options: Any) -> list[int]:
        return [piece.token for piece in generate(model, prompt(model), 12, Sampling(temperature=1.0, **options))]

    assert sample(seed=3) == sample(seed=3)
    assert sample(seed=3) != sample(seed=4)
    greedy = [piece.token for piece in generate(model, prompt(model), 3, Sampling())]
    biased = generate(model, prompt(model), 3, Sampling(bias={greedy[0]: -1000.0}))
    assert next(biased).token != greedy[0]
    assert len({new_seed() for _ in range(20)}) == 20
    assert all(0 <= new_seed() < 2**31 for _ in range(20))


def test_a_text_ends_in_time_and_a_first_token_needs_some(model: LanguageModel) -> None:
    deadline.set_seconds(0.3)
    pieces = list(generate(model, prompt(model), 180, Sampling()))
    assert pieces[-1].finish == "length"
    deadline.set_seconds(-1)
    with pytest.raises(DeadlineExceeded):
        next(generate(model, prompt(model), 5, Sampling()))


class Budget:
    def __init__(self) -> None:
        self.held: list[tuple[int, bool]] = []

    @contextmanager
    def reserve(self, size: int, *, is_stream: bool = False) -> Iterator[None]:
        self.held.append((size, is_stream))
        yield
        self.held.pop()


def test_a_stream_counts_its_tokens_and_holds_its_memory() -> None:
    usage, budget = Usage(), Budget()
    generation = Generation(usage, iter([Piece(1, 0.0, "a"), Piece(2, 0.0, "b", finish="length")]))
    generation.reserve(budget, 7)  # type: ignore[arg-type]
    assert budget.held == []
    assert next(generation).text == "a"
    assert (budget.held, usage.output_tokens) == ([(7, True)], 1)
    assert [piece.text for piece in generation] == ["b"]
    assert (budget.held, usage.output_tokens) == ([], 2)
