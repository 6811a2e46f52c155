"""Kalman filters for boxes that move at constant velocity, many boxes at once.

The motion model of SORT and ByteTrack (Bewley et al. 2016, Zhang et al. 2022): centre, width and height each have a
constant velocity, and all noise is in proportion to the box's size. Its noise and initial covariances are diagonal, so
the filter of eight states is four independent filters of two states, whose covariances are three numbers each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]

POSITION = 1 / 20
"""Standard deviation of a measurement, and of a frame's change beyond the velocity, as a share of the box's size."""
VELOCITY = 1 / 160
"""Standard deviation of a frame's change of the velocity, as a share of the box's size."""
INITIAL = (2 * POSITION, 10 * VELOCITY)
"""Standard deviations of position and velocity of a box that was seen once: its velocity is unknown."""


class BoxKalmanFilter:
    """State of n boxes: means (n, 4, 2) of value and velocity, covariances (n, 4, 3) as var(value), cov, var(velocity).

    The four values are centre x, centre y, width, height, in pixels; time is in frames.
    """

    def __init__(self) -> None:
        self.means = np.zeros((0, 4, 2))
        self.covariances = np.zeros((0, 4, 3))

    def add(self, measurements: Floats) -> None:
        """Add boxes (m, 4), at rest."""
        size = _sizes(measurements)
        position, velocity = ((deviation * size) ** 2 for deviation in INITIAL)
        self.means = np.concatenate([self.means, np.stack([measurements, np.zeros_like(measurements)], 2)])
        self.covariances = np.concatenate([self.covariances, np.stack([position, np.zeros_like(size), velocity], 2)])

    def predict(self, elapsed: float = 1.0) -> None:
        """Predict the state after `elapsed` frames, in which noise adds up."""
        size = _sizes(self.means[:, :, 0])
        self.means[:, :, 0] += elapsed * self.means[:, :, 1]
        value, covariance, velocity = np.moveaxis(self.covariances, 2, 0)
        self.covariances = np.stack(
            [
                value + 2 * elapsed * covariance + elapsed**2 * velocity + elapsed * (POSITION * size) ** 2,
                covariance + elapsed * velocity,
                velocity + elapsed * (VELOCITY * size) ** 2,
            ],
            2,
        )

    def correct(self, indices: np.ndarray[Any, np.dtype[np.int64]], measurements: Floats) -> None:
        """Correct the boxes `indices` by measurements (m, 4)."""
        means, covariances = self.means[indices], self.covariances[indices]
        value, covariance, velocity = np.moveaxis(covariances, 2, 0)
        noise = (POSITION * _sizes(means[:, :, 0])) ** 2
        gain = np.stack([value, covariance], 2) / (value + noise)[..., None]  # (m, 4, 2)
        self.means[indices] = means + gain * (measurements - means[:, :, 0])[..., None]
        self.covariances[indices] = np.stack(
            [
                value - gain[..., 0] * value,
                covariance - gain[..., 0] * covariance,
                velocity - gain[..., 1] * covariance,
            ],
            2,
        )

    def keep(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        self.means, self.covariances = self.means[mask], self.covariances[mask]


def _sizes(boxes: Floats) -> Floats:
    """Sizes that scale the noise: the width for centre x and width, the height for centre y and height."""
    return np.maximum(boxes[:, [2, 3, 2, 3]], 1.0)
