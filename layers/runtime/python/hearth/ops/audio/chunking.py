"""Splits long sequences into overlapping chunks, and joins the chunks' outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def chunk_bounds(total: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Start and end of chunks of at most `size`; neighbours share `overlap`."""
    starts = range(0, max(total - overlap, 1), size - overlap)
    return [(start, min(start + size, total)) for start in starts]


def join(chunks: Sequence[np.ndarray[Any, Any]], starts: Sequence[int], blank: int) -> np.ndarray[Any, Any]:
    """One array (frames, symbols) from chunks that begin at the frames `starts`.

    Each seam lies in the overlap's middle half, in the frame where both chunks are surest of the symbol `blank`. That
    is a pause, so no symbol is doubled or lost, even if the chunks place a symbol one frame apart.
    """
    parts = []
    begin = 0
    """Index in the current chunk of its first frame that is not in `parts` yet."""
    for index, chunk in enumerate(chunks[:-1]):
        shift = starts[index + 1] - starts[index]
        following = chunks[index + 1]
        shared = min(len(chunk) - shift, len(following))
        low, high = shared // 4, max(shared - shared // 4, shared // 4 + 1)
        blank_logprobs = chunk[shift + low : shift + high, blank] + following[low:high, blank]
        seam = low + int(blank_logprobs.argmax())
        parts.append(chunk[begin : shift + seam])
        begin = seam
    return np.concatenate([*parts, chunks[-1][begin:]])
