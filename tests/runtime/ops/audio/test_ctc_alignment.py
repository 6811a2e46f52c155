"""The likelihood of a text against torch's CTC loss, and its alignment against all paths."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from hearth.ops.audio.ctc_alignment import align, log_likelihood

BLANK = 3


def draw(frames: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (frames, BLANK + 1))
    return logits - np.logaddexp.reduce(logits, 1)[:, None]


@pytest.mark.parametrize(
    ("frames", "text"), [(5, (0, 1)), (9, (0, 0, 2)), (4, ()), (30, (2, 1, 1, 0, 2, 2)), (3, (1,))]
)
def test_the_likelihood_is_torchs_ctc_loss(frames: int, text: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    logs = draw(frames, frames)
    loss = torch.nn.functional.ctc_loss(
        torch.from_numpy(logs)[:, None], torch.tensor([text]), (frames,), (len(text),), blank=BLANK, reduction="sum"
    )
    assert log_likelihood(logs, text, BLANK) == pytest.approx(-float(loss))


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        symbol for index, symbol in enumerate(path) if symbol != BLANK and path[index - 1 : index] != (symbol,)
    )


@pytest.mark.parametrize("text", [(0, 1), (1, 1), (2,), (0, 0, 0)])
def test_the_alignment_is_that_of_the_likeliest_path(text: tuple[int, ...]) -> None:
    logs = draw(6, 5)
    paths = [path for path in product(range(BLANK + 1), repeat=6) if collapse(path) == text]
    best = max(paths, key=lambda path: sum(logs[frame, symbol] for frame, symbol in enumerate(path)))
    spans = align(logs, text, BLANK)
    path = [BLANK] * 6
    for symbol, (first, end) in zip(text, spans, strict=True):
        path[first:end] = [symbol] * (end - first)
    assert tuple(path) == best


def test_a_text_that_is_too_long_is_impossible() -> None:
    logs = draw(4, 0)
    assert log_likelihood(logs, (0, 0, 0), BLANK) == -np.inf  # needs blanks between
    with pytest.raises(ValueError, match="3 symbols do not fit into 4 frames"):
        align(logs, (0, 0, 0), BLANK)
    assert align(draw(5, 0), (0, 0, 0), BLANK) == [(0, 1), (2, 3), (4, 5)]
