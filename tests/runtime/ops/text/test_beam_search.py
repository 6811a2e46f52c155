"""Beam search over small random language models, against an exhaustive search."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hearth.ops.text.beam_search import GROUP, DecoderStep, GenerationConfig, likeliest_tokens, search
from hearth.ops.text.sampling import log_probabilities

START, EOS, VOCABULARY = 0, 1, 12


class Language:
    """Logits that depend on the sentence and its last two tokens; `sizes` records the batch size of each step."""

    def __init__(self, sentences: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.logits = random.normal(0, 2, (sentences, VOCABULARY, VOCABULARY, VOCABULARY)).astype(np.float32)
        self.logits[..., EOS] += 1
        self.sizes: list[int] = []

    def step(self) -> DecoderStep:
        sentences, tokens_so_far = np.arange(len(self.logits)), np.zeros((len(self.logits), 1), np.int64)

        def next_token(tokens: Any, rows: Any, kept_sentences: Any) -> Any:
            nonlocal sentences, tokens_so_far
            sentences = sentences[kept_sentences]
            tokens_so_far = np.concatenate([tokens_so_far[rows], tokens[:, None]], 1)
            self.sizes.append(len(tokens))
            repeated = np.repeat(sentences, len(tokens) // len(sentences))
            return self.logits[repeated, tokens_so_far[:, -2], tokens_so_far[:, -1]]

        return next_token

    def score(self, sentence: int, tokens: tuple[int, ...]) -> float:
        """Return the log-probability as beam search sums it: a forced end costs nothing."""
        before, last, total = START, START, 0.0
        for token in tokens:
            total += log_probabilities(self.logits[sentence, before, last][None])[0, token]
            before, last = last, token
        return float(total)


def search_exhaustively(language: Language, sentence: int, max_length: int, penalty: float) -> list[int]:
    """Return the best of all sentences of at most `max_length` tokens."""
    best, best_tokens = -np.inf, []
    words = [token for token in range(VOCABULARY) if token not in (START, EOS)]
    for length in range(max_length):
        for tokens in itertools.product(words, repeat=length):
            forced = length + 1 == max_length
            score = language.score(sentence, tokens if forced else (*tokens, EOS)) / (length + 1) ** penalty
            if score > best:
                best, best_tokens = score, list(tokens)
    return best_tokens


def test_wide_beams_find_the_best_sentences() -> None:
    language = Language(4, seed=1)
    for penalty in (0.0, 1.0, 2.0):
        options = GenerationConfig(START, EOS, max_new_tokens=3, num_beams=150, length_penalty=penalty)
        actual = search(language.step(), 4, options)
        assert actual == [search_exhaustively(language, sentence, 3, penalty) for sentence in range(4)]


def test_greedy_takes_the_best_token_each_time() -> None:
    language = Language(3, seed=2)
    for sentence, tokens in enumerate(search(language.step(), 3, GenerationConfig(START, EOS, 8, 1, 1.0))):
        before, last = START, START
        for token in [*tokens, EOS][:7]:
            logits = language.logits[sentence, before, last].copy()
            logits[START] = -np.inf
            assert token == logits.argmax()
            before, last = last, token


@pytest.mark.parametrize("beams", [1, 2, 5])
def test_sentences_do_not_depend_on_their_batch(beams: int) -> None:
    language, options = Language(6, seed=3), GenerationConfig(START, EOS, 30, beams, 0.8)
    batched = search(language.step(), 6, options)
    assert language.sizes[0] == 6
    assert min(language.sizes) < max(language.sizes) <= 6 * beams
    for sentence, tokens in enumerate(batched):
        language_of_one = Language(6, seed=3)
        language_of_one.logits = language_of_one.logits[sentence : sentence + 1]
        assert search(language_of_one.step(), 1, options) == [tokens]


@pytest.mark.parametrize("beams", [1, 3])
def test_sentences_have_at_most_max_new_tokens(beams: int) -> None:
    language = Language(2, seed=4)
    language.logits[..., EOS] = -50
    assert [len(tokens) for tokens in search(language.step(), 2, GenerationConfig(START, EOS, 6, beams, 1.0))] == [5, 5]
    assert search(language.step(), 2, GenerationConfig(START, EOS, 1, beams, 1.0)) == [[], []]


def test_a_penalty_above_one_gives_longer_sentences() -> None:
    language = Language(20, seed=5)
    lengths = [
        sum(len(tokens) for tokens in search(language.step(), 20, GenerationConfig(START, EOS, 12, 4, penalty)))
        for penalty in (-1.0, 1.0, 3.0)
    ]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[2]


def test_the_start_token_is_never_written() -> None:
    language = Language(4, seed=6)
    language.logits[..., START] = 50
    for beams in (1, 4):
        assert all(
            START not in tokens for tokens in search(language.step(), 4, GenerationConfig(START, EOS, 6, beams, 1.0))
        )


@pytest.mark.parametrize("vocabulary", [5, GROUP * 3, GROUP * 12 + 7])
def test_the_likeliest_tokens_equal_those_of_a_sort(vocabulary: int) -> None:
    options = GenerationConfig(START, EOS, 9, 5, 1.0)
    for seed in range(20):
        logits = np.random.default_rng(seed).normal(0, 3, (4, vocabulary)).astype(np.float32)
        expected = log_probabilities(logits)
        expected[:, START] = -np.inf
        tokens, logs = likeliest_tokens(logits, 10, np.full((4, 3), 4), options)
        np.testing.assert_array_equal(np.sort(logs), np.sort(expected)[:, -10:])
        np.testing.assert_array_equal(np.take_along_axis(expected, tokens, 1), logs)
        assert all(len(set(row)) == len(row) for row in tokens)
