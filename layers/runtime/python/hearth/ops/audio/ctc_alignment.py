"""How likely a text is by the outputs of a CTC model: its likeliest path, and the sum over all of its paths.

Graves et al. 2006, section 4.1; all in logarithms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hearth.ops.audio.ctc import Logs

Array = np.ndarray[Any, Any]


def align(logs: Logs, symbols: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """The first frame of each symbol on the likeliest path of a text, and the frame after its last.

    `logs`: (frames, symbols of the model). Raises ValueError if the text is too long for the frames.
    """
    states, skips = _states(symbols, blank)
    scores = np.full(len(states), -np.inf)
    scores[:2] = logs[0, states[:2]]
    sources = np.zeros((len(logs), len(states)), np.intp)
    for frame in range(1, len(logs)):
        candidates = _candidates(scores, skips)  # (3, states): stay, advance, skip a blank
        sources[frame] = candidates.argmax(0)
        scores = candidates.max(0) + logs[frame, states]
    state = len(states) - 1 - int(scores[-2] > scores[-1]) if len(states) > 1 else 0
    if scores[state] == -np.inf:
        raise ValueError(f"{len(symbols)} symbols do not fit into {len(logs)} frames")
    path = np.empty(len(logs), np.intp)
    for frame in range(len(logs) - 1, -1, -1):
        path[frame] = state
        state -= int(sources[frame, state])
    spans = []
    for index in range(len(symbols)):
        frames = np.flatnonzero(path == 2 * index + 1)
        spans.append((int(frames[0]), int(frames[-1]) + 1))
    return spans


def log_likelihood(logs: Logs, symbols: Sequence[int], blank: int) -> float:
    """The logarithm of the probability of a text, over all of its paths; -inf if it does not fit into the frames."""
    states, skips = _states(symbols, blank)
    scores = np.full(len(states), -np.inf)
    scores[:2] = logs[0, states[:2]]
    for row in logs[1:]:
        scores = np.logaddexp.reduce(_candidates(scores, skips), 0) + row[states]
    return float(np.logaddexp.reduce(scores[-2:]))


def _states(symbols: Sequence[int], blank: int) -> tuple[Array, Array]:
    """Blanks around and between the symbols, and whether the blank before a state may be skipped."""
    states = np.full(2 * len(symbols) + 1, blank)
    states[1::2] = symbols
    skips = np.zeros(len(states), bool)
    skips[3::2] = states[3::2] != states[1:-2:2]
    return states, skips


def _candidates(scores: Array, skips: Array) -> Array:
    """The scores of the states from which each state may be reached, (3, states): itself, the one before, and the one
    before a blank."""
    candidates = np.full((3, len(scores)), -np.inf)
    candidates[0] = scores
    candidates[1, 1:] = scores[:-1]
    candidates[2, 2:] = np.where(skips[2:], scores[:-2], -np.inf)
    return candidates
