"""False alarms stay below the stated rate; moves are noticed within a stated number of requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hearth.telemetry.features import FEATURES
from hearth.telemetry.sketches import population_stability
from hearth_build.drift.comparison import (
    compare,
    inputs_of,
    jensen_shannon,
    kolmogorov_smirnov,
    permutation_tests,
)

SHARES: dict[str, Any] = {}
for _name, _classes in {"label": 2, "tokens": 12, "score": 20}.items():
    _weights = np.random.default_rng(len(_name)).dirichlet(np.ones(_classes))  # with rare classes
    SHARES[_name] = _weights


def draw(generator: np.random.Generator, inputs: int, **changed: Any) -> dict[str, list[int]]:
    """Counts of inputs whose features are independent."""
    return {name: generator.multinomial(inputs, changed.get(name, shares)).tolist() for name, shares in SHARES.items()}


def test_unmoved_windows_alarm_at_most_at_the_stated_rate() -> None:
    """1,000 windows at a rate of 5 %, so that many alarms are expected; every move counts, however small."""
    generator = np.random.default_rng(1)
    alarms = sum(
        bool(compare(draw(generator, 1000), draw(generator, 200), rate=0.05, psi=0, seed=window).moved)
        for window in range(1000)
    )
    assert 10 <= alarms <= 50 + 2 * 7  # at most 5 %, and two standard deviations of 1,000 windows


@pytest.mark.parametrize("size", [30, 400])
def test_p_values_are_uniform_or_larger(size: int) -> None:
    generator = np.random.default_rng(2)
    shares = np.array([0.9, 0.05, 0.03, 0.01, 0.01])
    smallest = []
    for _ in range(300):
        first, second = generator.multinomial(500, shares), generator.multinomial(size, shares)
        used = first + second > 0
        smallest.append(
            min(test.p for test in permutation_tests(first[used], second[used], generator, is_ordered=False))
        )
    for level in (0.02, 0.1, 0.5):
        assert np.mean(np.array(smallest) <= level) <= level + 2.5 * (level * (1 - level) / 300) ** 0.5


def test_a_new_label_share_is_noticed_within_200_requests() -> None:
    generator = np.random.default_rng(3)
    reference = draw(generator, 1000, label=[0.8, 0.2])
    for seed in range(20):
        report = compare(reference, draw(generator, 200, label=[0.6, 0.4]), ["no", "yes"], seed=seed)
        (label,) = report.moved
        assert label.name == "label"
        assert "now" in label.change


def test_distances_have_the_values_of_scipy() -> None:
    distance = pytest.importorskip("scipy.spatial.distance")
    stats = pytest.importorskip("scipy.stats")
    generator = np.random.default_rng(4)
    first, second = generator.integers(1, 50, 12), generator.integers(1, 50, 12)
    assert jensen_shannon(first, second) == pytest.approx(distance.jensenshannon(first, second, base=2))
    samples = [np.repeat(np.arange(12), counts) for counts in (first, second)]
    assert kolmogorov_smirnov(first, second) == pytest.approx(stats.ks_2samp(*samples).statistic)
    shares = (first + 0.5) / (first + 0.5).sum(), (second + 0.5) / (second + 0.5).sum()
    expected = stats.entropy(*shares) + stats.entropy(*shares[::-1])
    assert population_stability(first.tolist(), second.tolist()) == pytest.approx(expected)


def test_few_inputs_feedback_and_unknown_features_are_not_compared() -> None:
    report = compare({"label": [20, 9], "correct": [0, 500], "tokens": [90]}, {"label": [99, 99], "correct": [500, 0]})
    assert not report.features
    assert inputs_of({"correct": [500, 0], "label": [3, 4]}) == 7
    assert not FEATURES["correct"].is_ordered


def test_a_small_but_certain_move_is_no_alarm() -> None:
    report = compare({"label": [500_000, 500_000]}, {"label": [505_000, 495_000]})
    assert report.features[0].p < report.level
    assert not report.moved
