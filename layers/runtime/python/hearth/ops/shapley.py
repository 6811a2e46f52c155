"""Shapley values of a score over the units of its input, where runs are cheap, such as the columns of a table.

With a run for each subset of the units they are exact. With fewer, units are added in random orders and in the reverse
of each order (antithetic permutations, Mitchell et al. 2022): the values sum to the difference between the scores of
the whole and of the empty input after each order, and their mean is an unbiased estimate of the Shapley values.
"""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import numpy as np

from hearth.ops.attribution import Attribution, Floats, Indices, Masks, Scores

EXACT, SAMPLED = "exact-shapley", "permutation-shapley"
MAX_EXACT_UNITS = 16


def shapley(
    score: Callable[[Masks], Floats], units: int, runs: int, is_late: Callable[[], bool] = lambda: False
) -> Attribution:
    """Attribute a score to `units` units with about `runs` runs, or until `is_late`.

    `score` scores the inputs with only the units of each mask, (n, units) to (n, ...). The values are exact if there
    are runs for all subsets; otherwise at least one order and its reverse are run, and the error of a value is its
    standard error.
    """
    if units <= MAX_EXACT_UNITS and 2**units <= runs:
        return _exact(score, units)
    return _sampled(score, units, runs, is_late)


def _exact(score: Callable[[Masks], Floats], units: int) -> Attribution:
    subsets = np.arange(2**units)
    masks = (subsets[:, None] >> np.arange(units)) % 2 == 1  # (subsets, units)
    scores = score(masks)  # (subsets, ...)
    orders = np.array([factorial(size) * factorial(units - 1 - size) / factorial(units) for size in range(units)])
    values = np.empty((units, *scores.shape[1:]))
    for unit in range(units):
        without = subsets[~masks[:, unit]]
        changes = scores[without | 1 << unit] - scores[without]
        values[unit] = np.tensordot(orders[masks[without].sum(1)], changes, 1)
    return Attribution(EXACT, values, np.zeros_like(values), scores[-1], scores[0], len(scores))


def _sampled(score: Callable[[Masks], Floats], units: int, runs: int, is_late: Callable[[], bool]) -> Attribution:
    evaluate, generator = Scores(score), np.random.default_rng(0)
    empty, whole = np.zeros(units, bool), np.ones(units, bool)
    base_score, full_score = evaluate([empty, whole])
    samples: list[Floats] = []
    new_runs = 2 * (units - 1)  # of an order and its reverse, beside the empty and the whole input
    while not samples or (len(evaluate) + new_runs <= runs and not is_late()):
        order = generator.permutation(units)
        samples.append((_changes(evaluate, order) + _changes(evaluate, order[::-1])) / 2)
    values = np.mean(samples, 0)
    # A single sample does not say how far another one would differ; what it says at most is its own size.
    errors = np.std(samples, 0, ddof=1) / np.sqrt(len(samples)) if len(samples) > 1 else np.abs(values)
    return Attribution(SAMPLED, values, errors, full_score, base_score, len(evaluate))


def _changes(evaluate: Scores, order: Indices) -> Floats:
    """What each unit changes when it is added in this order, (units, ...)."""
    units = len(order)
    places = np.empty(units, int)
    places[order] = np.arange(units)
    masks = places[None] < np.arange(units + 1)[:, None]  # (units + 1, units)
    return np.diff(np.stack(evaluate([*masks])), axis=0)[places]
