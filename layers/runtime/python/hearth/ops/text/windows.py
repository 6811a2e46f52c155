"""Rows of token ids as arrays, and texts that are longer than a network cut into windows."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Limits

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Row: TypeAlias = "Encoding"
"""Tokens of a text: ids, types, characters they stand for, which of them are special."""
Feeds = dict[str, np.ndarray[Any, Any]]


CHARACTERS = 100_000
"""Of one text, where the manifest says nothing."""
TOTAL = 1_000_000
"""Characters of all texts of a request."""
MOST_WINDOWS = 2048
"""Of all texts of a request."""


def texts_of(inputs: str | list[str], limits: Limits) -> list[str]:
    """The texts that came, one or several. Raises BadRequest for none, PayloadTooLarge beyond `limits`."""
    texts = [inputs] if isinstance(inputs, str) else inputs
    if not texts:
        raise BadRequest("`inputs` is an empty list; send at least one text")
    if len(texts) > limits.batch:
        raise PayloadTooLarge(f"`inputs` has {len(texts)} texts; {limits.batch} are allowed in one request")
    bounded(texts, limits)
    return texts


def bounded(texts: Iterable[str], limits: Limits) -> None:
    """Before the tokenizer sees them: cutting a text to its first tokens does not shorten the work. Raises
    PayloadTooLarge."""
    most, total = limits.characters or CHARACTERS, 0
    for text in texts:
        if len(text) > most:
            raise PayloadTooLarge(f"A text has {len(text)} characters; {most} are allowed")
        # Tokenizers write ligatures out, of which one makes up to 18 characters.
        length = len(text) if text.isascii() else max(len(unicodedata.normalize("NFKC", text)), len(text))
        if length > most:
            raise PayloadTooLarge(f"A text has {length} characters once ligatures are written out; {most} are allowed")
        total += length
    if total > TOTAL:
        raise PayloadTooLarge(f"The texts have {total} characters together; {TOTAL} are allowed in one request")


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


def whole(tokenizer: Tokenizer, text: str) -> Row:
    """All tokens of a text without special ones, though the tokenizer itself cuts."""
    from tokenizers import Encoding

    first = tokenizer.encode(text, add_special_tokens=False)
    return Encoding.merge([first, *first.overflowing], growing_offsets=False)


def first(text: Row, count: int) -> Row:
    """The first `count` tokens of a text, as a row of its own."""
    from tokenizers import Encoding

    part = Encoding.merge([text], growing_offsets=False)
    part.truncate(count)
    return part


def windows(
    tokenizer: Tokenizer, text: Row, size: int, stride: int, before: Row | None = None, most: int = MOST_WINDOWS
) -> list[Row]:
    """`text` (which is cut up) in windows of up to `size` tokens, special ones included, that share `stride`.

    Each window is completed as the tokenizer's template says, after `before` if that is given, and so a pair.
    `stride` must be less than `room` of the same window. Raises PayloadTooLarge for more than `most` windows.
    """
    left = room(tokenizer, size, before)
    if (len(text.ids) - stride) > most * (left - stride):
        raise PayloadTooLarge(
            f"The texts make more than {MOST_WINDOWS} windows: send them in parts, or let windows share less"
        )
    text.truncate(left, stride=stride)
    parts = [text, *text.overflowing]
    if before is None:
        return [tokenizer.post_process(part) for part in parts]
    return [tokenizer.post_process(before, part) for part in parts]


def room(tokenizer: Tokenizer, size: int, before: Row | None = None) -> int:
    """How many tokens of a text fit into a window of `size`; may be negative."""
    taken = tokenizer.num_special_tokens_to_add(before is not None)
    return int(size - taken - (len(before.ids) if before is not None else 0))
