"""Sampling against transformers' logits processors; detokenizer and stop strings against the whole text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hearth.ops.text.detokenizer import MAX_TOKENS, Detokenizer
from hearth.ops.text.sampling import candidates, draw, log_probabilities, penalise
from hearth.ops.text.stop_strings import StopStrings

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


TEXT = "Die Straße 我非常喜欢 👩‍👩‍👧 naïve — e\u0301 end"


def byte_tokenizer() -> Tokenizer:
    """Return a tokenizer with one token per byte."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(["aab aab"], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def spaced_tokenizer() -> Tokenizer:
    """Return a tokenizer like Llama's: a mark for spaces, byte fallback, and a leading space that is dropped."""
    words = ["<unk>", "▁", "▁e", "nd", "▁D", "i", "e", "▁S", "t", "r", "a", *(f"<0x{byte:02X}>" for byte in range(256))]
    pairs = [("▁", "e"), ("n", "d"), ("▁", "D"), ("▁", "S")]
    vocabulary = {word: number for number, word in enumerate([*words, "n", "d", "D", "S"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


@pytest.mark.parametrize("make", [byte_tokenizer, spaced_tokenizer])
def test_pieces_hold_whole_characters_and_add_up_to_the_text(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    ids = tokenizer.encode(TEXT).ids
    for split in range(len(ids)):
        if tokenizer.decode(ids[:split]).endswith("\ufffd"):
            continue  # no prompt ends inside a character
        detokenizer = Detokenizer(tokenizer.decode, ids[:split])
        pieces = [detokenizer.push(token) for token in ids[split:]]
        assert not any("\ufffd" in piece for piece in pieces)
        decoded = tokenizer.decode(ids)
        assert tokenizer.decode(ids[:split]) + "".join(pieces) == decoded == TEXT


def test_a_replacement_character_in_the_text_is_kept() -> None:
    tokenizer = byte_tokenizer()
    detokenizer = Detokenizer(tokenizer.decode)
    assert "".join(detokenizer.push(token) for token in tokenizer.encode("a\ufffdb").ids) == "a\ufffdb"


def test_broken_bytes_are_emitted_and_do_not_affect_what_follows() -> None:
    tokenizer = byte_tokenizer()
    first_byte = tokenizer.encode("我").ids[:1]
    detokenizer = Detokenizer(tokenizer.decode)
    pieces = [detokenizer.push(token) for token in first_byte * (MAX_TOKENS + 1) + tokenizer.encode("ok").ids]
    assert pieces[: MAX_TOKENS - 1] == [""] * (MAX_TOKENS - 1)
    assert "".join(pieces).endswith("ok")


def test_a_stop_string_across_pieces_is_never_emitted() -> None:
    for stop, text in (("\n\nUser:", "Hello.\n\nUser: more"), ("aab", "aaaab"), ("ab", "xaxab"), ("c", "abc")):
        for size in (1, 2, 3, 50):
            stop_strings, emitted = StopStrings([stop, "never"]), ""
            for start in range(0, len(text), size):
                emitted += stop_strings.push(text[start : start + size])
                if stop_strings.matched:
                    break
            assert stop_strings.matched
            assert emitted == text[: text.index(stop)]


def test_a_partial_stop_string_is_emitted() -> None:
    stop_strings = StopStrings(["END"])
    assert [stop_strings.push(piece) for piece in ("th", "e E", "N", "d E")] == ["th", "e ", "", "ENd "]
    assert not stop_strings.matched
    assert stop_strings.flush() == "E"
    assert stop_strings.flush() == ""


def test_the_first_of_several_stop_strings_ends_the_text() -> None:
    stop_strings = StopStrings(["two", "one"])
    assert stop_strings.push("zero one two") == "zero "
