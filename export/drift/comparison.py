"""Whether the inputs and answers of a model have moved: two sketches compared feature by feature.

The Jensen-Shannon distance finds any change of a feature's shares, the Kolmogorov-Smirnov distance one along its order.
Each is tested by permutation: if nothing moved, any division of all inputs into two groups of these sizes is as likely
as the one that was observed, whatever their distribution and however rare a class. The level of a test is the rate
of false alarms divided by the number of tests (Bonferroni), so a comparison of unmoved inputs alarms at most at this
rate. The population stability index (PSI) says how far a feature has moved; moves too small to matter do not alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth.telemetry.features import FEATURES, FEEDBACK, class_name
from hearth.telemetry.sketches import population_stability

Array = np.ndarray[Any, Any]
RATE = 0.01
"""False alarms per comparison of unmoved inputs, at most."""
PSI = 0.05
"""Smallest population stability index that alarms; 0.1 is usually called a small move, 0.25 a large one."""
MIN_INPUTS = 30
"""Fewer inputs than this are not compared."""
PERMUTATIONS = (30, 170, 1800, 18000)
"""Sizes of the batches of permutations; together the largest number."""
EXCEEDANCES = 10
"""A test ends when so many permutations are as far apart as what was observed (Besag and Clifford, 1991)."""


@dataclass(frozen=True)
class Test:
    statistic: str
    value: float
    p: float


@dataclass(frozen=True)
class FeatureReport:
    name: str
    title: str
    inputs: int
    """Number of inputs of the window that have the feature."""
    psi: float
    js: float
    """Jensen-Shannon distance, 0 to 1."""
    ks: float | None
    """Kolmogorov-Smirnov distance, 0 to 1; None without an order."""
    p: float
    """The smaller p value of both distances."""
    moved: bool
    change: str
    """How the feature differs, in words."""


@dataclass(frozen=True)
class Report:
    reference_inputs: int
    inputs: int
    level: float
    """p values below this are significant."""
    features: list[FeatureReport]

    @property
    def moved(self) -> list[FeatureReport]:
        return [feature for feature in self.features if feature.moved]


def compare(
    reference: Mapping[str, Sequence[int]],
    window: Mapping[str, Sequence[int]],
    labels: Sequence[str] = (),
    *,
    rate: float = RATE,
    psi: float = PSI,
    seed: int = 0,
) -> Report:
    """Compare the counts of two sketches by feature; `labels` are the model's."""
    generator = np.random.default_rng(seed)
    pairs = {}
    for name in FEATURES:
        if name in FEEDBACK or name not in reference or name not in window:
            continue
        first, second = padded(name, reference[name]), padded(name, window[name])
        if min(first.sum(), second.sum()) >= MIN_INPUTS:
            pairs[name] = first, second
    tests = sum(2 if FEATURES[name].is_ordered else 1 for name in pairs)
    level = rate / max(tests, 1)
    features = []
    for name, (first, second) in pairs.items():
        used = (first + second) > 0
        distance = population_stability(first[used].tolist(), second[used].tolist())
        results = permutation_tests(first[used], second[used], generator, is_ordered=FEATURES[name].is_ordered)
        p = min(test.p for test in results)
        features.append(
            FeatureReport(
                name,
                FEATURES[name].title,
                int(second.sum()),
                distance,
                results[0].value,
                results[1].value if len(results) > 1 else None,
                p,
                p <= level and distance >= psi,
                describe_change(name, first, second, labels),
            )
        )
    return Report(inputs_of(reference), inputs_of(window), level, features)


def padded(name: str, counts: Sequence[int]) -> Array:
    """The counts of all classes of a feature; a manifest leaves out zeros at the end."""
    result = np.zeros(FEATURES[name].classes, np.int64)
    result[: len(counts)] = counts
    return result


def inputs_of(counts: Mapping[str, Sequence[int]]) -> int:
    """The number of inputs of a sketch: that of the feature that most of them have."""
    return max((sum(values) for name, values in counts.items() if name not in FEEDBACK), default=0)


def jensen_shannon(first: Array, second: Array) -> Array:
    """Jensen-Shannon distances with logarithms to base 2 of counts (..., classes)."""
    shares = [counts / counts.sum(-1, keepdims=True) for counts in (first, second)]
    middle = (shares[0] + shares[1]) / 2
    total = np.zeros(np.broadcast_shapes(*(part.shape for part in shares))[:-1])
    for part in shares:
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(part > 0, part * np.log2(part / middle), 0)
        total += terms.sum(-1) / 2
    return np.asarray(np.sqrt(np.clip(total, 0, 1)))


def kolmogorov_smirnov(first: Array, second: Array) -> Array:
    """Largest differences of the cumulated shares of counts (..., classes)."""
    shares = [counts.cumsum(-1) / counts.sum(-1, keepdims=True) for counts in (first, second)]
    return np.asarray(np.abs(shares[0] - shares[1]).max(-1))


def permutation_tests(first: Array, second: Array, generator: np.random.Generator, *, is_ordered: bool) -> list[Test]:
    """Tests of both distances, or only of the first one without an order. The p values are exact for any number of
    permutations."""
    statistics = {"Jensen-Shannon": jensen_shannon} | ({"Kolmogorov-Smirnov": kolmogorov_smirnov} if is_ordered else {})
    observed = {name: float(statistic(first, second)) for name, statistic in statistics.items()}
    pooled, size = first + second, int(second.sum())
    exceeded, drawn = dict.fromkeys(statistics, 0), dict.fromkeys(statistics, 0)
    for batch in PERMUTATIONS:
        active = [name for name in statistics if exceeded[name] < EXCEEDANCES]
        if not active:
            break
        windows = generator.multivariate_hypergeometric(pooled, size, batch)
        for name in active:
            values = statistics[name](pooled - windows, windows)
            hits = np.flatnonzero(values >= observed[name] - 1e-12)
            missing = EXCEEDANCES - exceeded[name]
            drawn[name] += int(hits[missing - 1]) + 1 if len(hits) >= missing else batch
            exceeded[name] += min(len(hits), missing)
    return [
        Test(
            name,
            observed[name],
            exceeded[name] / drawn[name] if exceeded[name] >= EXCEEDANCES else (exceeded[name] + 1) / (drawn[name] + 1),
        )
        for name in statistics
    ]


def describe_change(name: str, first: Array, second: Array, labels: Sequence[str]) -> str:
    """What differs most: the medians of a feature with an order, else the share of the class that changed most."""
    shares = [counts / counts.sum() for counts in (first, second)]
    if FEATURES[name].is_ordered:
        medians = [class_name(name, int(np.searchsorted(part.cumsum(), 0.5 - 1e-9))) for part in shares]
        if medians[0] != medians[1]:
            return f"median {medians[0]}, now {medians[1]}"
    index = int(np.abs(shares[1] - shares[0]).argmax())
    return f"{class_name(name, index, labels)}: {shares[0][index]:.1%}, now {shares[1][index]:.1%}"
