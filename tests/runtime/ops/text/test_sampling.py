"""The next token against transformers' own processors; detokenising and stop strings against the whole text."""

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

NOTHING = torch.zeros(1, 0, dtype=torch.int64)


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
def test_probabilities_are_transformers(
    logits: np.ndarray, temperature: float, top_k: int | None, top_p: float | None
) -> None:
    wanted = TemperatureLogitsWarper(float(temperature))(NOTHING, torch.from_numpy(logits)[None])
    if top_k:
        wanted = TopKLogitsWarper(top_k)(NOTHING, wanted)
    if top_p and top_p < 1:
        wanted = TopPLogitsWarper(top_p)(NOTHING, wanted)
    tokens, probabilities = candidates(logits, temperature, top_k, top_p)
    found = np.zeros(len(logits))
    found[tokens] = probabilities
    np.testing.assert_allclose(found, wanted[0].softmax(0).numpy(), atol=1e-6)
    assert probabilities.sum() == pytest.approx(1)


def test_equally_likely_tokens_stay_together() -> None:
    tokens, probabilities = candidates(np.array([1.0, 2, 2, 2, 0], np.float32), top_k=2)
    assert tokens.tolist() == [1, 2, 3]
    np.testing.assert_allclose(probabilities, 1 / 3)


def test_a_temperature_of_next_to_nothing_is_greedy(logits: np.ndarray) -> None:
    _, probabilities = candidates(logits, 5e-324)
    assert probabilities.tolist() == (np.arange(200) == logits.argmax()).tolist()


def test_draws_are_as_frequent_as_likely(logits: np.ndarray) -> None:
    tokens, probabilities = candidates(logits, 1.0, 6)
    random = np.random.default_rng(0)
    drawn = [draw(tokens, probabilities, random) for _ in range(20_000)]
    shares = np.array([drawn.count(token) for token in tokens]) / len(drawn)
    np.testing.assert_allclose(shares, probabilities, atol=0.015)


def test_repetition_is_punished_as_in_transformers(logits: np.ndarray) -> None:
    there = [3, 3, 17, 99]
    seen = np.isin(np.arange(200), there)
    wanted = RepetitionPenaltyLogitsProcessor(1.3)(torch.tensor([there]), torch.from_numpy(logits)[None].clone())
    np.testing.assert_allclose(penalise(logits, seen, np.zeros(200), 1.3), wanted[0].numpy(), rtol=1e-6)


def test_presence_counts_once_and_frequency_each_time(logits: np.ndarray) -> None:
    counts = np.zeros(200, np.float32)
    counts[[5, 6]] = 1, 4
    found = logits - penalise(logits, counts > 0, counts, presence=0.5, frequency=0.25)
    np.testing.assert_allclose(found[[4, 5, 6]], [0, 0.75, 1.5], atol=1e-6)


def test_log_probabilities(logits: np.ndarray) -> None:
    np.testing.assert_allclose(
        log_probabilities(logits), torch.from_numpy(logits).log_softmax(0).numpy(), rtol=1e-5, atol=1e-5
    )
    assert np.isfinite(log_probabilities(np.array([1e4, -1e4, 0], np.float32))).all()


TEXT = "Die Straße 我非常喜欢 👩‍👩‍👧 naïve — e\u0301 end"


def byte_tokenizer() -> Tokenizer:
    """A token a byte."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(["aab aab"], trainers.BpeTrainer(initial_alphabet=alphabet, show_progress=False))
    return tokenizer


def spaced_tokenizer() -> Tokenizer:
    """Like Llama's: a mark for spaces, bytes for what is not in the vocabulary, and a leading space that is dropped."""
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
def test_characters_come_whole_and_add_up(make: object) -> None:
    tokenizer = make()  # type: ignore[operator]
    ids = tokenizer.encode(TEXT).ids
    for split in range(len(ids)):
        if tokenizer.decode(ids[:split]).endswith("\ufffd"):
            continue  # no prompt ends inside a character
        text = Detokenizer(tokenizer.decode, ids[:split])
        pieces = [text.push(token) for token in ids[split:]]
        assert not any("\ufffd" in piece for piece in pieces)
        whole = tokenizer.decode(ids)
        assert tokenizer.decode(ids[:split]) + "".join(pieces) == whole == TEXT


def test_a_replacement_character_of_the_text_itself_is_not_lost() -> None:
    tokenizer = byte_tokenizer()
    text = Detokenizer(tokenizer.decode)
    assert "".join(text.push(token) for token in tokenizer.encode("a\ufffdb").ids) == "a\ufffdb"


def test_broken_bytes_come_out_in_the_end_and_break_nothing_after() -> None:
    tokenizer = byte_tokenizer()
    lone = tokenizer.encode("我").ids[:1]
    text = Detokenizer(tokenizer.decode)
    pieces = [text.push(token) for token in lone * (MAX_TOKENS + 1) + tokenizer.encode("ok").ids]
    assert pieces[: MAX_TOKENS - 1] == [""] * (MAX_TOKENS - 1)
    assert "".join(pieces).endswith("ok")


def test_stop_strings_over_pieces_are_never_shown() -> None:
    for stop, text in (("\n\nUser:", "Hello.\n\nUser: more"), ("aab", "aaaab"), ("ab", "xaxab"), ("c", "abc")):
        for size in (1, 2, 3, 50):
            watch, shown = StopStrings([stop, "never"]), ""
            for start in range(0, len(text), size):
                shown += watch.push(text[start : start + size])
                if watch.matched:
                    break
            assert watch.matched
            assert shown == text[: text.index(stop)]


def test_what_only_looked_like_a_stop_string_is_shown() -> None:
    watch = StopStrings(["END"])
    assert [watch.push(piece) for piece in ("th", "e E", "N", "d E")] == ["th", "e ", "", "ENd "]
    assert not watch.matched
    assert watch.flush() == "E"
    assert watch.flush() == ""


def test_the_first_of_several_stop_strings_counts() -> None:
    watch = StopStrings(["two", "one"])
    assert watch.push("zero one two") == "zero "
