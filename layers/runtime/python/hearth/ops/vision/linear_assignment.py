"""The linear assignment problem: pairs of rows and columns with the smallest total cost.

Shortest augmenting paths with row and column potentials, after Jonker and Volgenant (1987) in Crouse's form for
rectangles (On implementing 2D rectangular assignment algorithms, 2016): one Dijkstra search per row. The variable names
are those of scipy's `linear_sum_assignment`, which implements the same algorithm.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]


def linear_sum_assignment(cost: Floats) -> tuple[Integers, Integers]:
    """For (rows, columns) costs the min(rows, columns) pairs with the smallest sum of costs, ordered by row.

    Raises ValueError if a cost is not finite.
    """
    if not np.isfinite(cost).all():
        raise ValueError("every cost must be finite")
    if cost.shape[0] > cost.shape[1]:
        columns, rows = linear_sum_assignment(cost.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    row_count, column_count = cost.shape
    row4col = np.full(column_count, -1)  # the row assigned to each column
    col4row = np.full(row_count, -1)  # the column assigned to each row
    u, v = np.zeros(row_count), np.zeros(column_count)  # potentials: no reduced cost is ever below zero
    for row in range(row_count):
        sink, min_val, shortest_path_costs, path, visited = _augmenting_path(cost, row, row4col, u, v)
        u[row4col[visited]] += min_val - shortest_path_costs[visited]
        v[visited] -= min_val - shortest_path_costs[visited]
        u[row] += min_val
        while True:  # augment the assignment along the path
            i = path[sink]
            row4col[sink], col4row[i], sink = i, sink, col4row[i]
            if i == row:
                break
    return np.arange(row_count), col4row


def _augmenting_path(
    cost: Floats, row: int, row4col: Integers, u: Floats, v: Floats
) -> tuple[int, float, Floats, Integers, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The shortest path from `row` to an unassigned column: that column and its distance, then for each column its
    distance, the row before it, and whether the search visited it."""
    shortest_path_costs = np.full(len(row4col), np.inf)
    path = np.full(len(row4col), -1)
    visited = np.zeros(len(row4col), bool)
    i, min_val = row, 0.0
    while True:
        path_costs = min_val + cost[i] - u[i] - v
        is_shorter = ~visited & (path_costs < shortest_path_costs)
        shortest_path_costs[is_shorter], path[is_shorter] = path_costs[is_shorter], i
        column = int(np.argmin(np.where(visited, np.inf, shortest_path_costs)))
        min_val, i = float(shortest_path_costs[column]), int(row4col[column])
        if i < 0:
            return column, min_val, shortest_path_costs, path, visited
        visited[column] = True
