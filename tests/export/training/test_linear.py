from __future__ import annotations

import re

import numpy as np
import pytest

from hearth_build.training import linear
from hearth_build.training.linear import Fitted, Problem


def problem(count: int = 400, weights: np.ndarray | None = None, share: float = 0.5) -> Problem:
    """Two overlapping clouds of points; `share` of them are of the second label."""
    random = np.random.default_rng(1)

    def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
        targets = (random.uniform(size=size) < share).astype(int)
        return random.normal(targets[:, None] * 0.8, 1.0, (size, 20)), targets

    features, targets = draw(count)
    validation, expected = draw(400)
    return Problem(
        features,
        targets,
        validation,
        lambda logits: float((logits.argmax(1) == expected).mean()),
        2,
        several=False,
        seed=1,
        weights=weights,
    )


def test_more_examples_give_a_better_score() -> None:
    data = problem()
    sentence = linear.learning_curve(data, linear.fit(data))
    scores = [float(value) for value in re.findall(r"(0\.\d+) with", sentence)]
    expected = float(re.findall(r"about (\d\.\d+)", sentence)[0])
    assert re.search(r"with 100, .* with 200, .* with 400", sentence)
    assert scores[-1] <= expected <= 1


def test_a_curve_of_few_examples_says_nothing() -> None:
    data = problem(50)
    assert linear.learning_curve(data, linear.fit(data)) == ""


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_labels_that_weigh_more_are_predicted_more_often(weight: float) -> None:
    plain, weighted = (problem(weights=weights, share=0.1) for weights in (None, np.array([1.0, weight])))
    fitted = [linear.fit(data) for data in (plain, weighted)]
    counts = [int((model.logits(plain.validation).argmax(1) == 1).sum()) for model in fitted]
    assert counts[1] > counts[0] if weight > 1 else counts[1] == counts[0]


def test_logits_have_a_column_for_each_label() -> None:
    fitted = Fitted(np.ones((3, 2)), np.zeros(3), 0.0, 1.0)
    assert fitted.logits(np.ones((4, 2))).shape == (4, 3)
