"""Resampling by windowed-sinc interpolation, one filter per phase (Smith, Digital Audio Resampling).

Sound is resampled block by block, so a long file is never in memory at its own rate.
"""

from __future__ import annotations

from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
ZERO_CROSSINGS = 64
"""Number of zero crossings of the sinc on each side."""
ROLLOFF = 0.95
"""End of the passband as a share of the lower rate's Nyquist frequency, so that the filter's slope ends below it."""
PHASES = 512
"""Largest number of exact filters. Rates without a large common divisor have more phases; these are interpolated."""
BETA = 9.0
"""Shape of the Kaiser window: about 90 dB of attenuation."""


class Resampler:
    """Output n is the input at time n * source / target, without delay; there is silence before and after the input."""

    def __init__(self, source: int, target: int) -> None:
        """Rates in Hz."""
        shared = gcd(source, target)
        self.up, self.down = target // shared, source // shared
        self.cutoff = ROLLOFF * min(1.0, target / source)
        """As a share of the input's Nyquist frequency."""
        self.half = int(np.ceil(ZERO_CROSSINGS / self.cutoff))
        self.pending = np.zeros(self.half - 1, np.float32)
        """Input samples that later outputs need; the first has the index `start`."""
        self.start = 1 - self.half
        self.consumed = self.produced = 0
        self.grid = min(self.up, PHASES)
        self.filters: dict[int, Floats] = {}
        """By phase, in units of 1 / `grid`."""

    def feed(self, block: Floats) -> Floats:
        """The outputs that another block (samples,) completes."""
        if self.up == self.down:
            return block
        self.consumed += len(block)
        return self._advance(block, (self.consumed - self.half) * self.up // self.down)

    def finish(self) -> Floats:
        """The remaining outputs, once the input has ended."""
        return self._advance(np.zeros(self.half + 1, np.float32), -(-self.consumed * self.up // self.down))

    def _advance(self, block: Floats, end: int) -> Floats:
        """Outputs up to the index `end`."""
        self.pending = np.concatenate([self.pending, block])
        count = max(end - self.produced, 0)
        out = np.empty(count, np.float32)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(self.pending, 2 * self.half)
            for offset in range(min(self.up, count)):
                indices = np.arange(self.produced + offset, self.produced + count, self.up)
                input_indices = indices * self.down // self.up
                phase = int(indices[0]) * self.down % self.up
                # The window of output n begins half - 1 samples before the input sample at or before n.
                out[offset :: self.up] = windows[input_indices - self.half + 1 - self.start] @ self._filter(phase)
        self.produced += count
        keep = self.produced * self.down // self.up - self.half + 1
        if keep > self.start:
            self.pending, self.start = self.pending[keep - self.start :].copy(), keep
        return out

    def _filter(self, phase: int) -> Floats:
        """(2 * half,) weights for a time `phase / up` samples after an input sample."""
        step, remainder = divmod(phase * self.grid, self.up)
        below = self._exact_filter(step)
        if not remainder:
            return below
        return below + (self._exact_filter(step + 1) - below) * np.float32(remainder / self.up)

    def _exact_filter(self, step: int) -> Floats:
        """The weights at `step / grid`; they sum to one."""
        if step not in self.filters:
            distance = np.arange(1 - self.half, self.half + 1) - step / self.grid
            inside = np.clip(1 - (distance / self.half) ** 2, 0, None)
            weights = np.sinc(distance * self.cutoff) * np.i0(BETA * np.sqrt(inside))
            self.filters[step] = (weights / weights.sum()).astype(np.float32)
        return self.filters[step]


def resample(sound: Floats, source: int, target: int) -> Floats:
    """Mono samples (samples,) at `source` Hz as (ceil(samples * target / source),) at `target` Hz."""
    resampler = Resampler(source, target)
    return np.concatenate([resampler.feed(sound), resampler.finish()])
