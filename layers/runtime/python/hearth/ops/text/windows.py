"""Rows of token ids as arrays, and texts that are longer than a network cut into windows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from tokenizers import Encoding, Tokenizer

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits

Row: TypeAlias = Encoding
"""Tokens of a text: ids, types, the characters they stand for, which of them are special."""
Feeds = dict[str, np.ndarray[Any, Any]]


MAX_CHARACTERS = 100_000
"""Of one text, where the manifest says nothing."""
MAX_TOTAL_CHARACTERS = 1_000_000
"""Of all texts of a request."""
MAX_WINDOWS = 2048
"""Of all texts of a request."""


def list_texts(inputs: str | list[str], limits: Limits) -> list[str]:
    """The texts of `inputs`, one or several. Raises BadRequest for none, PayloadTooLarge beyond `limits`."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not texts:
        raise BadRequest("`inputs` is an empty list; send at least one text")
    if len(texts) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(texts)} texts; {limits.batch} are allowed in one request")
    check_lengths(texts, limits)
    return texts


def check_lengths(texts: Iterable[str], limits: Limits) -> None:
    """Raise PayloadTooLarge for texts that are too long, before the tokenizer sees them: cutting a text to its first
    tokens does not shorten the tokenizer's work."""
    maximum, total = limits.characters or MAX_CHARACTERS, 0
    for text in texts:
        if len(text) > maximum:
            raise PayloadTooLarge(f"A text has {len(text)} characters; {maximum} are allowed")
        # Tokenizers write ligatures out, of which one makes up to 18 characters.
        length = len(text) if text.isascii() else max(len(unicodedata.normalize("NFKC", text)), len(text))
        if length > maximum:
            raise PayloadTooLarge(
                f"A text has {length} characters once ligatures are written out; {maximum} are allowed"
            )
        total += length
    if total > MAX_TOTAL_CHARACTERS:
        raise PayloadTooLarge(
            f"The texts have {total} characters together; {MAX_TOTAL_CHARACTERS} are allowed in one request"
        )


def pad(rows: Sequence[Row], pad_id: int, names: Iterable[str] = ("input_ids", "attention_mask")) -> Feeds:
    """int64 arrays (rows, longest row) of ids, mask and, if among `names`, types; padding has mask and type 0."""
    ids = [row.ids for row in rows]  # a copy each time
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
    """All tokens of a text without special ones, although the tokenizer itself truncates."""
    beginning = tokenizer.encode(text, add_special_tokens=False)
    return Encoding.merge([beginning, *beginning.overflowing], growing_offsets=False)


def truncated(text: Row, count: int) -> Row:
    """The first `count` tokens of a text, as a row of its own."""
    part = Encoding.merge([text], growing_offsets=False)
    part.truncate(count)
    return part


def windows(
    tokenizer: Tokenizer, text: Row, size: int, stride: int, before: Row | None = None, maximum: int = MAX_WINDOWS
) -> list[Row]:
    """`text` (which is cut up) in windows of up to `size` tokens, special ones included, that share `stride`.

    Each window is completed as the tokenizer's template says, after `before` if that is given, and so a pair.
    `stride` must be less than `window_capacity` of the same window. Raises PayloadTooLarge for more than `maximum`
    windows.
    """
    left = window_capacity(tokenizer, size, before)
    if (len(text.ids) - stride) > maximum * (left - stride):
        raise PayloadTooLarge(
            f"The texts make more than {MAX_WINDOWS} windows: send them in parts, or let windows share less"
        )
    text.truncate(left, stride=stride)
    parts = [text, *text.overflowing]
    if before is None:
        return [tokenizer.post_process(part) for part in parts]
    return [tokenizer.post_process(before, part) for part in parts]


def window_capacity(tokenizer: Tokenizer, size: int, before: Row | None = None) -> int:
    """How many tokens of a text fit into a window of `size`; may be negative."""
    taken = tokenizer.num_special_tokens_to_add(before is not None)
    return int(size - taken - (len(before.ids) if before is not None else 0))
