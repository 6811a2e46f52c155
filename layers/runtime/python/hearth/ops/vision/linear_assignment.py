"""The assignment problem: pairs of rows and columns with the least total cost.

Shortest augmenting paths with row and column potentials, after Jonker and Volgenant (1987) in the form that Crouse
gives for rectangles (On implementing 2D rectangular assignment algorithms, 2016): one Dijkstra search a row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


def assign(cost: Floats) -> tuple[Integers, Integers]:
    """For (rows, columns) costs the min(rows, columns) pairs whose costs add up to the least, ordered by row.

    Raises ValueError where a cost is not finite.
    """
    if not np.isfinite(cost).all():
        raise ValueError("every cost must be finite")
    if cost.shape[0] > cost.shape[1]:
        columns, rows = assign(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, width = cost.shape
    owner = np.full(width, -1)  # the row that holds a column
    held = np.full(count, -1)  # the column that a row holds
    of_row, of_column = np.zeros(count), np.zeros(width)  # potentials: no reduced cost is ever below zero
    for row in range(count):
        end, low, distance, before, done = _search(cost, row, owner, of_row, of_column)
        of_row[owner[done]] += low - distance[done]
        of_column[done] -= low - distance[done]
        of_row[row] += low
        while True:  # shift the columns along the path that was found
            taker = before[end]
            owner[end], held[taker], end = taker, end, held[taker]
            if taker == row:
                break
    return np.arange(count), held


def _search(
    cost: Floats, row: int, owner: Integers, of_row: Floats, of_column: Floats
) -> tuple[int, float, Floats, Integers, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The shortest way from `row` to a column that nobody holds: that column, its distance, each column's distance,
    the row before each column, and which columns the way was sought through."""
    distance = np.full(len(owner), np.inf)
    before = np.full(len(owner), -1)
    done = np.zeros(len(owner), bool)
    at, low = row, 0.0
    while True:
        through = low + cost[at] - of_row[at] - of_column
        nearer = ~done & (through < distance)
        distance[nearer], before[nearer] = through[nearer], at
        column = int(np.argmin(np.where(done, np.inf, distance)))
        low, at = float(distance[column]), int(owner[column])
        if at < 0:
            return column, low, distance, before, done
        done[column] = True
