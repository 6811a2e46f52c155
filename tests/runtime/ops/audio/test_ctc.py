"""CTC decoding against the sum over every path, a real sentence, and a language model with known scores."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from hearth.ops.audio import ngram_lm
from hearth.ops.audio.chunking import chunk_bounds, join
from hearth.ops.audio.ctc import LanguageModel, Logs, beam_search, greedy, to_words

LETTERS = (*" abcdefghijklmnopqrstuvwxyz'", "")
BLANK = 28
SENTENCE = "i have a good deal of will you remember and what i have set my mind upon no doubt i shall some day achieve"

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


def random_logs(frames: int, symbols: int, seed: int) -> Logs:
    logits = np.random.default_rng(seed).standard_normal((frames, symbols)) * 2
    return logits - np.log(np.exp(logits).sum(1, keepdims=True))  # type: ignore[no-any-return]


def decode_exhaustively(logs: Logs, blank: int, language_model: LanguageModel | None = None) -> tuple[int, ...]:
    """Return the best text; its probability is the sum over all paths that collapse to it."""
    sums: defaultdict[tuple[int, ...], float] = defaultdict(float)
    frames, symbols = logs.shape
    for path in itertools.product(range(symbols), repeat=frames):
        text = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)
        sums[text] += math.exp(sum(logs[frame, symbol] for frame, symbol in enumerate(path)))

    def score(text: tuple[int, ...]) -> float:
        total, state = math.log(sums[text]), ()
        if language_model:
            for symbol in text:
                change, state = language_model.score(state, symbol)
                total += change
            total += language_model.score_end(state)
        return total

    return max(sums, key=score)


def decode(logs: Logs, width: int) -> str:
    symbols = beam_search(logs, BLANK, width) if width > 1 else greedy(logs, BLANK)
    return " ".join(word.text for word in to_words(symbols, LETTERS))


def spikes(text: str, every: int = 3, other: float = 0.02) -> Logs:
    """Return log-probabilities that have each letter in one frame of `every`."""
    logs = np.full((every * len(text), len(LETTERS)), other / len(LETTERS))
    logs[:, BLANK] = 1 - other
    for number, letter in enumerate(text):
        logs[every * number + 1] = other / len(LETTERS)
        logs[every * number + 1, LETTERS.index(letter)] = 1 - other
    return np.log(logs)  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_the_likeliest_text(seed: int) -> None:
    logs = random_logs(6, 4, seed)
    for blank in (0, 3):
        assert tuple(letter.symbol for letter in beam_search(logs, blank, 1000)) == decode_exhaustively(logs, blank)


@pytest.mark.parametrize("seed", range(6))
def test_a_wide_beam_with_a_language_model_finds_the_likeliest_text(seed: int) -> None:
    logs = random_logs(6, 4, seed)
    language_model = ngram_lm.read(ARPA.encode(), ("a", "b", " ", ""), 0.8, 0.5)
    assert tuple(letter.symbol for letter in beam_search(logs, 3, 1000, language_model)) == decode_exhaustively(
        logs, 3, language_model
    )


def test_greedy_takes_the_best_path_and_beam_search_the_best_text() -> None:
    logs = np.log(np.array([[0.4, 0.0001, 0.6], [0.4, 0.0001, 0.6]]))  # "" has one path, "a" three
    assert greedy(logs, 2) == []
    assert [letter.symbol for letter in beam_search(logs, 2, 4)] == [0]


def test_repeated_letters_need_a_blank_between_them() -> None:
    logs = np.log(np.eye(3)[[0, 0, 2, 0, 1, 1]] + 1e-9)
    letters = greedy(logs, 2)
    assert [(letter.symbol, letter.first, letter.end) for letter in letters] == [(0, 0, 2), (0, 3, 4), (1, 4, 6)]
    assert [letter.symbol for letter in beam_search(logs, 2, 8)] == [0, 0, 1]


@pytest.mark.parametrize("width", [1, 4])
def test_no_frames_and_only_blanks_give_no_text(width: int) -> None:
    assert decode(np.zeros((0, 29)), width) == ""
    assert decode(spikes(""), width) == ""
    assert decode(np.log(np.eye(29)[[BLANK] * 5] + 1e-9), width) == ""


@pytest.mark.parametrize("width", [1, 4])
def test_words_have_their_frames(width: int) -> None:
    logs = spikes(" to be  ")
    symbols = beam_search(logs, BLANK, width) if width > 1 else greedy(logs, BLANK)
    assert [(word.text, word.first, word.end) for word in to_words(symbols, LETTERS)] == [("to", 4, 8), ("be", 13, 17)]


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the data sets are not here")
@pytest.mark.parametrize("width", [1, 2, 16])
def test_a_sentence_of_librispeech_is_decoded(width: int) -> None:
    path = Path(os.environ["HEARTH_DATA"]) / "speech/ctc_libri_logits.json"
    logs = np.array(json.loads(path.read_text()))
    assert decode(logs, width) == SENTENCE


@pytest.mark.skipif("HEARTH_DATA" not in os.environ, reason="HEARTH_DATA is not set: the data sets are not here")
def test_chunks_of_a_sentence_give_the_whole_sentence() -> None:
    path = Path(os.environ["HEARTH_DATA"]) / "speech/ctc_libri_logits.json"
    logs = np.array(json.loads(path.read_text()))
    for size in (40, 77, 150):
        bounds = chunk_bounds(len(logs), size, size // 4)
        assert (
            decode(join([logs[start:end] for start, end in bounds], [start for start, _ in bounds], BLANK), 4)
            == SENTENCE
        )


def test_a_language_model_decides_between_similar_letters() -> None:
    logs = np.log(np.array([[0.98, 0.01, 0.005, 0.005], [0.01, 0.01, 0.01, 0.97], [0.5, 0.48, 0.01, 0.01]]))
    assert [letter.symbol for letter in beam_search(logs, 3, 8)] == [0, 0]
    language_model = ngram_lm.read(ARPA.encode(), ("a", "b", " ", ""), 0.5, 0.0)
    assert [letter.symbol for letter in beam_search(logs, 3, 8, language_model)] == [0, 1]
