"""Long sequences in overlapping pieces, and one sequence of outputs again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def spans(total: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Where pieces of at most `size` begin and end; neighbours share `overlap`."""
    starts = range(0, max(total - overlap, 1), size - overlap)
    return [(start, min(start + size, total)) for start in starts]


def join(pieces: Sequence[np.ndarray[Any, Any]], starts: Sequence[int], quiet: int) -> np.ndarray[Any, Any]:
    """One (frames, symbols) of pieces that begin at frames `starts`.

    Each seam lies in the overlap's middle half, in the frame where both pieces are surest of the symbol `quiet`: in a
    pause nothing is said twice or lost, even where the pieces disagree by a frame on when a symbol was said.
    """
    kept = []
    begin = 0
    """First frame of the current piece that is not in `kept` yet, in the piece's own numbers."""
    for number, piece in enumerate(pieces[:-1]):
        shift = starts[number + 1] - starts[number]
        following = pieces[number + 1]
        shared = min(len(piece) - shift, len(following))
        low, high = shared // 4, max(shared - shared // 4, shared // 4 + 1)
        both = piece[shift + low : shift + high, quiet] + following[low:high, quiet]
        seam = low + int(both.argmax())
        kept.append(piece[begin : shift + seam])
        begin = seam
    return np.concatenate([*kept, pieces[-1][begin:]])
