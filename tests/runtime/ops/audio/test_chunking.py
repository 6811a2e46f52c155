"""Chunks of a long sequence cover it, and joined they are the whole."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hearth.ops.audio.chunking import chunk_bounds, join
from tests.runtime.ops.audio.test_ctc import BLANK, decode, spikes


@pytest.mark.parametrize(("total", "size", "overlap"), [(1, 10, 2), (10, 10, 2), (11, 10, 2), (18, 10, 2), (95, 10, 3)])
def test_chunks_cover_all_frames_and_overlap(total: int, size: int, overlap: int) -> None:
    bounds = chunk_bounds(total, size, overlap)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == total
    assert all(end - start <= size for start, end in bounds)
    for (_, end), (start, _) in itertools.pairwise(bounds):
        assert end - start == overlap
    assert all(end - start > overlap for start, end in bounds) or len(bounds) == 1


def test_joining_shifted_chunks_neither_doubles_nor_loses_letters() -> None:
    text = "one two three four five six seven"
    logs = spikes(text)
    for size in range(24, 60, 5):
        chunks, starts = [], []
        for number, (start, end) in enumerate(chunk_bounds(len(logs), size, 16)):
            chunks.append(np.roll(logs[start:end], number % 2, 0))
            starts.append(start)
        joined = join(chunks, starts, BLANK)
        assert len(joined) == len(logs)
        assert decode(joined, 1) == text
