"""The Kalman filter against the textbook form with eight states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hearth.ops.vision.kalman import INITIAL, POSITION, VELOCITY, BoxKalmanFilter

Array = np.ndarray[Any, np.dtype[np.float64]]


class TextbookFilter:
    """The filter of one box with the textbook's matrices: (cx, cy, w, h) and their velocities."""

    def __init__(self, measured: Array) -> None:
        self.mean = np.concatenate([measured, np.zeros(4)])
        size = measured[[2, 3, 2, 3]]
        self.covariance = np.diag(np.concatenate([INITIAL[0] * size, INITIAL[1] * size]) ** 2)

    def predict(self) -> None:
        size = self.mean[[2, 3, 2, 3]]
        step = np.eye(8) + np.eye(8, k=4)
        self.covariance = step @ self.covariance @ step.T
        self.covariance += np.diag(np.concatenate([POSITION * size, VELOCITY * size]) ** 2)
        self.mean = step @ self.mean

    def correct(self, measured: Array) -> None:
        observation = np.eye(4, 8)
        noise = np.diag((POSITION * self.mean[[2, 3, 2, 3]]) ** 2)
        gain = self.covariance @ observation.T @ np.linalg.inv(observation @ self.covariance @ observation.T + noise)
        self.mean = self.mean + gain @ (measured - observation @ self.mean)
        self.covariance = (np.eye(8) - gain @ observation) @ self.covariance


def test_four_filters_equal_the_one_with_eight_states() -> None:
    random = np.random.default_rng(0)
    boxes = random.uniform(20, 300, (3, 4))
    motion, references = BoxKalmanFilter(), [TextbookFilter(box) for box in boxes]
    motion.add(boxes)
    for frame in range(30):
        motion.predict()
        visible = np.flatnonzero(random.random(3) < (0.7 if frame else 1))
        measured = boxes[visible] + 3 * frame + random.normal(size=(len(visible), 4))
        motion.correct(visible, measured)
        for reference in references:
            reference.predict()
        for index, row in zip(visible, measured, strict=True):
            references[index].correct(row)
        for index, reference in enumerate(references):
            np.testing.assert_allclose(motion.means[index].T.ravel(), reference.mean, rtol=1e-9)
            covariance = reference.covariance
            variances, covariances, velocity_variances = (
                np.diag(covariance)[:4],
                np.diag(covariance, 4),
                np.diag(covariance)[4:],
            )
            np.testing.assert_allclose(
                motion.covariances[index].T, [variances, covariances, velocity_variances], rtol=1e-9
            )
            assert np.allclose(covariance[:4, 4:], np.diag(covariances)), "the four filters are independent"


def test_two_short_predictions_equal_a_long_one_in_the_mean() -> None:
    motions = [BoxKalmanFilter() for _ in range(2)]
    for motion in motions:
        motion.add(np.array([[100.0, 80, 40, 30]]))
        motion.predict()
        motion.correct(np.array([0]), np.array([[106.0, 80, 40, 30]]))
    position, velocity = motions[1].means[0, 0]
    motions[0].predict(0.5)
    motions[0].predict(2.5)
    motions[1].predict(3)
    np.testing.assert_allclose(motions[0].means, motions[1].means)
    assert velocity > 0
    assert motions[1].means[0, 0, 0] == pytest.approx(position + 3 * velocity)
