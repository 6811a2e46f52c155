"""Texts are measured before they are tokenized, and cut into windows."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits
from hearth.ops.text.windows import (
    MAX_CHARACTERS,
    MAX_TOTAL_CHARACTERS,
    check_lengths,
    list_texts,
    tokenize_whole,
    windows,
)

LIMITS = Limits(batch=4, characters=1000)


@pytest.mark.parametrize(
    ("inputs", "limits", "message"),
    [
        ([], LIMITS, "empty list"),
        (["a"] * 5, LIMITS, "4 are allowed"),
        ("a" * 1001, LIMITS, "1000 are allowed"),
        ("a" * (MAX_CHARACTERS + 1), Limits(), "100000 are allowed"),
        ("\ufdfa" * 56, LIMITS, "1008 characters once ligatures are written out; 1000"),
        (["a" * 90_000] * 12, Limits(), f"{MAX_TOTAL_CHARACTERS} are allowed"),
    ],
)
def test_texts_are_measured_before_tokenization(inputs: str | list[str], limits: Limits, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        list_texts(inputs, limits)


def test_texts_within_the_limits_pass() -> None:
    assert list_texts(["a" * 1000, "\ufdfa" * 55, "我" * 1000], LIMITS)
    check_lengths(["a" * 100_000] * 10, Limits())


def test_windows_are_counted_before_they_are_built() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()

    def row() -> Any:
        return tokenize_whole(tokenizer, "a " * 1000)

    assert len(windows(tokenizer, row(), 10, 5, maximum=199)) == 199
    with pytest.raises(PayloadTooLarge, match="windows"):
        windows(tokenizer, row(), 10, 5, maximum=198)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 66, 128, 20_000])
def test_a_truncating_tokenizer_gives_the_whole_text_without_copies_of_it(count: int) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    text = "a b " * (count // 2) + "a" * (count % 2)
    whole = tokenizer.encode(text)
    tokenizer.enable_truncation(64)
    row = tokenize_whole(tokenizer, text)
    assert (row.ids, row.offsets, row.word_ids) == (whole.ids, whole.offsets, whole.word_ids)
    # One copy for each of 300 parts took 40 seconds and 1.6 GB.
    assert len(row.overflowing) <= 1
