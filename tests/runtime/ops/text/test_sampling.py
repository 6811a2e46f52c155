"""Sampling against transformers' logits processors; detokenizer and stop strings against the whole text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hearth.ops.text.sampling import candidates, draw, log_probabilities, penalise

NO_TOKENS = torch.zeros(1, 0, dtype=torch.int64)


@pytest.fixture(scope="module")
def logits() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 3, 200).astype(np.float32)


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p"),
    [
        (1.0, None, None),
        (0.4, 5, None),
        (1.7, None, 0.7),
        (0.8, 20, 0.9),
        (1.0, 1, None),
        (1.0, None, 1e-6),
        (1, 999, 1),
    ],
)
def test_probabilities_equal_transformers(
    logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    expected = TemperatureLogitsWarper(float(temperature))(NO_TOKENS, torch.from_numpy(logits)[None])
    if top_k:
        expected = TopKLogitsWarper(top_k)(NO_TOKENS, expected)
    if top_p and top_p < 1:
        expected = TopPLogitsWarper(top_p)(NO_TOKENS, expected)
    tokens, probabilities = candidates(logits, temperature, top_k, top_p)
    actual = np.zeros(len(logits))
    actual[tokens] = probabilities
    np.testing.assert_allclose(actual, expected[0].softmax(0).numpy(), atol=1e-6)
    assert probabilities.sum() == pytest.approx(1)


def test_equally_likely_tokens_are_kept_together() -> None:
    tokens, probabilities = candidates(np.array([1.0, 2, 2, 2, 0], np.float32), top_k=2)
    assert tokens.tolist() == [1, 2, 3]
    np.testing.assert_allclose(probabilities, 1 / 3)


def test_a_tiny_temperature_is_greedy(logits: np.ndarray) -> None:
    _, probabilities = candidates(logits, 5e-324)
    assert probabilities.tolist() == (np.arange(200) == logits.argmax()).tolist()


def test_draws_follow_the_probabilities(logits: np.ndarray) -> None:
    tokens, probabilities = candidates(logits, 1.0, 6)
    random = np.random.default_rng(0)
    drawn = [draw(tokens, probabilities, random) for _ in range(20_000)]
    shares = np.array([drawn.count(token) for token in tokens]) / len(drawn)
    np.testing.assert_allclose(shares, probabilities, atol=0.015)


def test_the_repetition_penalty_equals_transformers(logits: np.ndarray) -> None:
    tokens = [3, 3, 17, 99]
    seen = np.isin(np.arange(200), tokens)
    expected = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([tokens]), torch.from_numpy(logits)[None].clone())
    np.testing.assert_allclose(penalise(logits, seen, np.zeros(200), 1.3), expected[0].numpy(), rtol=1e-6)


def test_presence_penalty_counts_once_and_frequency_penalty_each_time(logits: np.ndarray) -> None:
    counts = np.zeros(200, np.float32)
    counts[[5, 6]] = 1, 4
    penalties = logits - penalise(logits, counts > 0, counts, presence=0.5, frequency=0.25)
    np.testing.assert_allclose(penalties[[4, 5, 6]], [0, 0.75, 1.5], atol=1e-6)


def test_log_probabilities_equal_torchs(logits: np.ndarray) -> None:
    np.testing.assert_allclose(
        log_probabilities(logits), torch.from_numpy(logits).log_softmax(0).numpy(), rtol=1e-5, atol=1e-5
    )
    assert np.isfinite(log_probabilities(np.array([1e4, -1e4, 0], np.float32))).all()
