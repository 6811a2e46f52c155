"""Long sequences in overlapping chunks, and one sequence of outputs again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def chunk_bounds(total: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Where chunks of at most `size` begin and end; neighbours share `overlap`."""
    starts = range(0, max(total - overlap, 1), size - overlap)
    return [(start, min(start + size, total)) for start in starts]


def join(chunks: Sequence[np.ndarray[Any, Any]], starts: Sequence[int], blank: int) -> np.ndarray[Any, Any]:
    """One (frames, symbols) of chunks that begin at frames `starts`.

    Each seam lies in the overlap's middle half, in the frame where both chunks are surest of the symbol `blank`: in a
    pause nothing is said twice or lost, even where the chunks disagree by a frame on when a symbol was said.
    """
    kept = []
    begin = 0
    """First frame of the current chunk that is not in `kept` yet, in the chunk's own numbers."""
    for number, chunk in enumerate(chunks[:-1]):
        shift = starts[number + 1] - starts[number]
        following = chunks[number + 1]
        shared = min(len(chunk) - shift, len(following))
        low, high = shared // 4, max(shared - shared // 4, shared // 4 + 1)
        both = chunk[shift + low : shift + high, blank] + following[low:high, blank]
        seam = low + int(both.argmax())
        kept.append(chunk[begin : shift + seam])
        begin = seam
    return np.concatenate([*kept, chunks[-1][begin:]])
