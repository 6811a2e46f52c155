"""Attribution of a model's score to the units of its input, such as words or tiles, in a bounded number of runs.

Units are added one after another in some order, and removed in the same order: a unit's value is the mean of what it
changes both times. These are two samples of its Shapley value, one with few other units present and one with many
(antithetic permutations, Mitchell et al. 2022), so the values sum to the difference between the scores of the whole
and of the empty input, and a unit that changes nothing gets nothing.

Instead of adding units one by one, groups are halved where the score changes, two runs each. The order lists a group's
halves in random order, from a fixed seed: over many orders the values are Owen's (1977) for these groups. `python -m
tests.benchmarks.explanations` compares the method with others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Masks = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.intp]]

METHOD = "hierarchical-shapley"
WIDTH = 4
"""Largest number of groups that are halved at once, so that their inputs can share runs of the graph."""
EXPLORATION = 0.25
"""Priority of the group of all units relative to the largest change of the score, by which large groups whose units
cancel each other are halved too."""
RUNS_PER_SPLIT = 2


class Attribution(NamedTuple):
    """`...` is the shape of a score: () for a number, or the number of scores that are attributed together."""

    method: str
    values: Floats
    """(units, ...): what each unit adds to the score. They sum to `score - base_score`."""
    errors: Floats
    """(units, ...): how uncertain each value is."""
    score: Floats
    """(...), of the whole input."""
    base_score: Floats
    """(...), of the empty input."""
    runs: int
    """Number of inputs that were scored."""


class Scores:
    """Scores of inputs with only the units of a mask; each mask is scored once."""

    def __init__(self, score: Callable[[Masks], Floats]) -> None:
        self._score = score
        self._known: dict[bytes, Floats] = {}

    def __len__(self) -> int:
        """The number of inputs that were scored."""
        return len(self._known)

    def __call__(self, masks: Sequence[Masks]) -> list[Floats]:
        unknown = {key: mask for mask in masks if (key := mask.tobytes()) not in self._known}
        if unknown:
            self._known.update(zip(unknown, self._score(np.stack([*unknown.values()])), strict=True))
        return [self._known[mask.tobytes()] for mask in masks]


class _Group(NamedTuple):
    units: Masks
    before: Masks
    """The units that are present when the group is added."""
    after: Masks
    """The units that remain when the group is removed."""
    added: Floats
    """What adding the group changes, (...)."""
    removed: Floats
    """What removing it changes."""

    @property
    def size(self) -> int:
        return int(self.units.sum())


def attribute(
    score: Callable[[Masks], Floats],
    split: Callable[[Indices], tuple[Indices, Indices]],
    units: int,
    runs: int,
    is_late: Callable[[], bool] = lambda: False,
) -> Attribution:
    """Attribute a score to `units` units with at most `runs` runs, or until `is_late`.

    `score` scores the inputs with only the units of each mask, (n, units) to (n, ...). `split` halves a group of at
    least two units. The error of a value is half the difference between both changes of the unit's group, per unit: it
    is large where units depend on each other. Runs that are left when all groups have one unit go to further orders,
    whose mean has smaller errors.
    """
    scores = Scores(score)
    generator = np.random.default_rng(0)
    base_score, full_score = scores([np.zeros(units, bool), np.ones(units, bool)])
    runs_per_order = RUNS_PER_SPLIT * (units - 1)
    values, errors = _attribute_in_order(scores, split, units, runs, is_late, generator)
    orders = 1
    while orders < (runs - 2) // max(runs_per_order, 1) and len(scores) + runs_per_order <= runs and not is_late():
        more_values, more_errors = _attribute_in_order(scores, split, units, runs, lambda: False, generator)
        values, errors, orders = values + more_values, errors + more_errors, orders + 1
    errors = errors / orders**1.5  # the mean of the errors, of the mean of independent orders
    return Attribution(METHOD, values / orders, errors, full_score, base_score, len(scores))


def _attribute_in_order(
    scores: Scores,
    split: Callable[[Indices], tuple[Indices, Indices]],
    units: int,
    runs: int,
    is_late: Callable[[], bool],
    generator: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Values and errors, (units, ...) each, in an order and its reverse."""
    empty, whole = np.zeros(units, bool), np.ones(units, bool)
    base_score, full_score = scores([empty, whole])
    groups = [_Group(whole, empty, empty, full_score - base_score, full_score - base_score)]
    while not is_late():
        chosen = _most_important(groups)[: min(WIDTH, (runs - len(scores)) // RUNS_PER_SPLIT)]
        if not chosen:
            break
        halves = []
        for group in chosen:
            pair = [_mask(part, units) for part in split(np.flatnonzero(group.units))]
            halves.append(pair if generator.random() < 0.5 else pair[::-1])
        scores(
            [
                mask
                for group, (first, second) in zip(chosen, halves, strict=True)
                for mask in (group.before | first, group.after | second)
            ]
        )
        groups = [group for group in groups if not any(group is other for other in chosen)]
        for group, (first, second) in zip(chosen, halves, strict=True):
            middle, rest = scores([group.before | first, group.after | second])
            start, end = scores([group.before, group.after | group.units])
            added, removed = middle - start, end - rest
            groups += [
                _Group(first, group.before, group.after | second, added, removed),
                _Group(second, group.before | first, group.after, group.added - added, group.removed - removed),
            ]
    shape = (units, *np.shape(full_score))
    values, errors = np.zeros(shape), np.zeros(shape)
    for group in groups:
        values[group.units] = (group.added + group.removed) / 2 / group.size
        errors[group.units] = abs(group.added - group.removed) / 2 / group.size
    return values, errors


def _most_important(groups: list[_Group]) -> list[_Group]:
    """The groups that can be halved, those with the largest changes or many units first."""
    changes = [max(np.abs(group.added).max(), np.abs(group.removed).max()) for group in groups]
    bonus = EXPLORATION * max(changes) / sum(group.size for group in groups)
    order = np.argsort([-change - bonus * group.size for change, group in zip(changes, groups, strict=True)])
    return [groups[index] for index in order.tolist() if groups[index].size > 1]


def _mask(units: Indices, count: int) -> Masks:
    mask = np.zeros(count, bool)
    mask[units] = True
    return mask


def split_sequence(units: Indices) -> tuple[Indices, Indices]:
    """Halve a group of neighbours in a sequence."""
    middle = len(units) // 2
    return units[:middle], units[middle:]


def split_grid(columns: int) -> Callable[[Indices], tuple[Indices, Indices]]:
    """Halve a rectangle of a grid with this many columns, across its longer side."""

    def split(units: Indices) -> tuple[Indices, Indices]:
        row, column = np.divmod(units, columns)
        axis = row if np.ptp(row) >= np.ptp(column) else column
        first = axis < (axis.min() + axis.max() + 1) / 2
        return units[first], units[~first]

    return split
