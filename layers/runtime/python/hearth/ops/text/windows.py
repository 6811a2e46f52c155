"""Batches of token ids as arrays, and texts that are too long for a model, cut into windows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from tokenizers import Encoding, Tokenizer

from hearth.errors import BadRequest, PayloadTooLarge, TextTooLong
from hearth.models.manifest import Limits

Row: TypeAlias = Encoding
"""Tokens of a text: ids, types, character offsets, and which of them are special."""
Feeds = dict[str, np.ndarray[Any, Any]]


MAX_CHARACTERS = 100_000
"""Largest number of characters of one text, unless the manifest has a limit."""
MAX_TOTAL_CHARACTERS = 1_000_000
"""Largest number of characters of all texts of a request."""
MAX_WINDOWS = 2048
"""Largest number of windows of all texts of a request."""


def list_texts(inputs: str | list[str], limits: Limits, *, refuse_blank: bool = False) -> list[str]:
    """The texts of `inputs`. Raises BadRequest for an empty list, PayloadTooLarge beyond `limits`.

    With `refuse_blank` a text without words is a BadRequest too: a classifier would give it any label.
    """
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not texts:
        raise BadRequest("`inputs` is an empty list; send at least one text")
    if len(texts) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(texts)} texts; {limits.batch} are allowed in one request")
    check_lengths(texts, limits)
    if refuse_blank:
        for number, text in enumerate(texts, 1):
            if not text[:1].isalnum() and is_blank(text):
                raise BadRequest(f"Text {number} of `inputs` is empty: it has no words to classify", param="inputs")
    return texts


def is_blank(text: str) -> bool:
    """Whether a text has only white space and characters that are not seen."""
    return all(unicodedata.category(character)[0] in "CZ" for character in text)


def check_lengths(texts: Iterable[str], limits: Limits) -> None:
    """Raise TextTooLong for texts that are too long. Checked before tokenization, because a tokenizer reads the
    whole text even if it then truncates."""
    maximum, total = limits.characters or MAX_CHARACTERS, 0
    for text in texts:
        if len(text) > maximum:
            raise TextTooLong(f"A text has {len(text)} characters; {maximum} are allowed")
        # Tokenizers expand ligatures; one can become 18 characters.
        length = len(text) if text.isascii() else max(len(unicodedata.normalize("NFKC", text)), len(text))
        if length > maximum:
            raise TextTooLong(f"A text has {length} characters once ligatures are written out; {maximum} are allowed")
        total += length
    if total > MAX_TOTAL_CHARACTERS:
        raise TextTooLong(
            f"The texts have {total} characters together; {MAX_TOTAL_CHARACTERS} are allowed in one request"
        )


def pad(rows: Sequence[Row], pad_id: int, names: Iterable[str] = ("input_ids", "attention_mask")) -> Feeds:
    """int64 arrays (rows, longest row) of ids, mask and, if in `names`, types; padding has mask and type 0."""
    ids = [row.ids for row in rows]  # `ids` makes a copy at each access
    shape = (len(rows), max(map(len, ids), default=0) or 1)
    feeds = {name: np.zeros(shape, np.int64) for name in names}
    feeds["input_ids"] += pad_id
    for index, row in enumerate(ids):
        feeds["input_ids"][index, : len(row)] = row
        feeds["attention_mask"][index, : len(row)] = 1
        if "token_type_ids" in feeds:
            feeds["token_type_ids"][index, : len(row)] = rows[index].type_ids
    return feeds


def tokenize_whole(tokenizer: Tokenizer, text: str) -> Row:
    """All tokens of a text without special tokens, although the tokenizer truncates.

    A merged encoding has, for each part of `overflowing`, a copy of all that was merged with it: with the hundreds of
    parts of a long text, that takes minutes and gigabytes. So the beginning is cut once more, which leaves it one part.
    """
    beginning = tokenizer.encode(text, add_special_tokens=False)
    rest = beginning.overflowing
    if not rest:
        return beginning
    beginning.truncate(len(beginning.ids) - 1)
    return Encoding.merge(
        [beginning, *beginning.overflowing, Encoding.merge(rest, growing_offsets=False)], growing_offsets=False
    )


def truncate(text: Row, count: int, direction: str = "right") -> Row:
    """A copy of the first `count` tokens of a text, or of the last with direction `left`."""
    row = Encoding.merge([text], growing_offsets=False)
    row.truncate(count, direction=direction)
    return row


def windows(
    tokenizer: Tokenizer, text: Row, size: int, stride: int, pair: Row | None = None, maximum: int = MAX_WINDOWS
) -> list[Row]:
    """`text` (which is modified) in windows of up to `size` tokens, special tokens included, that share `stride`.

    Each window gets the special tokens of the tokenizer's template; with `pair`, each is a pair of `pair` and a part of
    the text. `stride` must be less than `window_capacity`. Raises PayloadTooLarge for more than `maximum` windows.
    """
    capacity = window_capacity(tokenizer, size, pair)
    if (len(text.ids) - stride) > maximum * (capacity - stride):
        raise PayloadTooLarge(
            f"The texts make more than {MAX_WINDOWS} windows: send fewer or shorter texts, or a smaller stride"
        )
    text.truncate(capacity, stride=stride)
    parts = [text, *text.overflowing]
    if pair is None:
        return [tokenizer.post_process(part) for part in parts]
    return [tokenizer.post_process(pair, part) for part in parts]


def window_capacity(tokenizer: Tokenizer, size: int, pair: Row | None = None) -> int:
    """Number of tokens of a text that fit into a window of `size`, beside `pair`; may be negative."""
    special_tokens = tokenizer.num_special_tokens_to_add(pair is not None)
    return int(size - special_tokens - (len(pair.ids) if pair is not None else 0))
