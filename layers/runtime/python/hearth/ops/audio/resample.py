"""Other sampling rates by windowed-sinc interpolation, one filter a phase (Smith, Digital Audio Resampling).

Sound comes in blocks and goes out in blocks, so a long file never lies in memory at its own rate.
"""

from __future__ import annotations

from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
ZEROS = 64
"""Zero crossings of the sinc on each side."""
ROLLOFF = 0.95
"""Of the lower rate's half: where the passband ends, so that the filter's slope ends below the aliases."""
PHASES = 512
"""Rates that share no large divisor have thousands of phases; between so many, filters are interpolated."""
BETA = 9.0
"""Of the Kaiser window: about 90 dB of attenuation."""


class Resampler:
    """Output n is the input at the moment n * source / target, without delay; before and after is silence."""

    def __init__(self, source: int, target: int) -> None:
        """Rates in Hz."""
        shared = gcd(source, target)
        self.up, self.down = target // shared, source // shared
        self.cutoff = ROLLOFF * min(1.0, target / source)
        """In cycles of two input samples."""
        self.half = int(np.ceil(ZEROS / self.cutoff))
        self.pending = np.zeros(self.half - 1, np.float32)
        """Inputs that outputs still need; the first is number `start`."""
        self.start = 1 - self.half
        self.taken = self.given = 0
        self.grid = min(self.up, PHASES)
        self.filters: dict[int, Floats] = {}
        """By phase in parts of `grid`."""

    def feed(self, block: Floats) -> Floats:
        """The outputs that (samples,) more make certain."""
        if self.up == self.down:
            return block
        self.taken += len(block)
        return self._advance(block, (self.taken - self.half) * self.up // self.down)

    def finish(self) -> Floats:
        """The outputs that were still waiting for samples."""
        return self._advance(np.zeros(self.half + 1, np.float32), -(-self.taken * self.up // self.down))

    def _advance(self, block: Floats, end: int) -> Floats:
        """Outputs up to number `end`."""
        self.pending = np.concatenate([self.pending, block])
        count = max(end - self.given, 0)
        out = np.empty(count, np.float32)
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(self.pending, 2 * self.half)
            for offset in range(min(self.up, count)):
                numbers = np.arange(self.given + offset, self.given + count, self.up)
                whole = numbers * self.down // self.up
                phase = int(numbers[0]) * self.down % self.up
                # The window of output n begins half - 1 samples before the input that n falls on or after.
                out[offset :: self.up] = windows[whole - self.half + 1 - self.start] @ self._filter(phase)
        self.given += count
        keep = self.given * self.down // self.up - self.half + 1
        if keep > self.start:
            self.pending, self.start = self.pending[keep - self.start :].copy(), keep
        return out

    def _filter(self, phase: int) -> Floats:
        """(2 * half,) weights for a moment `phase / up` samples after the sample before it."""
        whole, rest = divmod(phase * self.grid, self.up)
        below = self._exact(whole)
        return below + (self._exact(whole + 1) - below) * np.float32(rest / self.up) if rest else below

    def _exact(self, part: int) -> Floats:
        """The weights at `part / grid`; they sum to one."""
        if part not in self.filters:
            distance = np.arange(1 - self.half, self.half + 1) - part / self.grid
            inside = np.clip(1 - (distance / self.half) ** 2, 0, None)
            weights = np.sinc(distance * self.cutoff) * np.i0(BETA * np.sqrt(inside))
            self.filters[part] = (weights / weights.sum()).astype(np.float32)
        return self.filters[part]


def resample(sound: Floats, source: int, target: int) -> Floats:
    """(ceil(samples * target / source),) of mono samples."""
    resampler = Resampler(source, target)
    return np.concatenate([resampler.feed(sound), resampler.finish()])
