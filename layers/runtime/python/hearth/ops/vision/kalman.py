"""Boxes that move evenly: a Kalman filter for each of a box's four numbers, many boxes at once.

The model of SORT and ByteTrack (Bewley et al. 2016, Zhang et al. 2022): centre, width and height each have a constant
velocity, and all noise is in proportion to the box's own size. Noise and beginning are diagonal there, so the eight
states fall apart into four filters of two states, whose covariances are three numbers each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

POSITION = 1 / 20
"""Standard deviation of a measurement, and of what a frame changes beyond the velocity, in sizes of the box."""
VELOCITY = 1 / 160
"""Standard deviation of what a frame changes of the velocity, in sizes of the box."""
BEGINNING = (2 * POSITION, 10 * VELOCITY)
"""The same of a box that was seen once: nothing is known of its velocity."""


class Motion:
    """State of n boxes: means (n, 4, 2) of value and velocity, covariances (n, 4, 3) as var(value), cov, var(velocity).

    The four are centre x, centre y, width, height, in pixels; time is in frames.
    """

    def __init__(self) -> None:
        self.means = np.zeros((0, 4, 2))
        self.covariances = np.zeros((0, 4, 3))

    def add(self, measured: Floats) -> None:
        """Begin with (m, 4) more boxes, at rest."""
        size = _sizes(measured)
        position, velocity = ((part * size) ** 2 for part in BEGINNING)
        self.means = np.concatenate([self.means, np.stack([measured, np.zeros_like(measured)], 2)])
        self.covariances = np.concatenate([self.covariances, np.stack([position, np.zeros_like(size), velocity], 2)])

    def predict(self) -> None:
        """One frame on."""
        size = _sizes(self.means[:, :, 0])
        self.means[:, :, 0] += self.means[:, :, 1]
        value, both, velocity = np.moveaxis(self.covariances, 2, 0)
        self.covariances = np.stack(
            [
                value + 2 * both + velocity + (POSITION * size) ** 2,
                both + velocity,
                velocity + (VELOCITY * size) ** 2,
            ],
            2,
        )

    def correct(self, which: np.ndarray[Any, np.dtype[np.int64]], measured: Floats) -> None:
        """Boxes `which` were seen as (m, 4)."""
        means, covariances = self.means[which], self.covariances[which]
        value, both, velocity = np.moveaxis(covariances, 2, 0)
        noise = (POSITION * _sizes(means[:, :, 0])) ** 2
        gain = np.stack([value, both], 2) / (value + noise)[..., None]  # (m, 4, 2)
        self.means[which] = means + gain * (measured - means[:, :, 0])[..., None]
        self.covariances[which] = np.stack(
            [value - gain[..., 0] * value, both - gain[..., 0] * both, velocity - gain[..., 1] * both], 2
        )

    def keep(self, which: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.means, self.covariances = self.means[which], self.covariances[which]


def _sizes(boxes: Floats) -> Floats:
    """What noise is in proportion to: the width for centre x and width, the height for centre y and height."""
    return np.maximum(boxes[:, [2, 3, 2, 3]], 1.0)
