"""Text from tokens that arrive one by one is never cut inside a character."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from hearth.ops.text.detokenizer import MAX_TOKENS, Detokenizer

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
