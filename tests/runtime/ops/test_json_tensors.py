"""Arrays from nested lists, and every refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hearth.ops.json_tensors import dtype_of, parse_lists


@pytest.mark.parametrize(
    ("value", "name", "dimensions", "shape"),
    [
        ([[1, 2], [3, 4]], "int64", 2, (2, 2)),
        ([[1, 2], [3, 4]], "int64", None, (2, 2)),
        (5, "int8", None, ()),
        (5, "int8", 0, ()),
        ([True, False], "bool", 1, (2,)),
        ([1, 2.5], "float32", 1, (2,)),
        (["a", "ü"], "string", 1, (2,)),
        ([], "float32", 2, (0, 0)),
        ([[], []], "float32", 2, (2, 0)),
        ([], "float32", None, (0,)),
        ([255], "uint8", 1, (1,)),
        ([-128, 127], "int8", 1, (2,)),
    ],
)
def test_lists_become_an_array(value: Any, name: str, dimensions: int | None, shape: tuple[int, ...]) -> None:
    array = parse_lists(value, name, dimensions)
    assert (array.shape, array.dtype) == (shape, dtype_of(name))
    assert array.tolist() == (value if array.size or shape == () else np.zeros(shape).tolist())


@pytest.mark.parametrize(
    ("value", "name", "dimensions", "message"),
    [
        ([1, 2], "int64", 2, "the lists must be nested 2 deep, not 1"),
        ([[1, 2], [3]], "int64", 2, "the lists of a level must have the same length"),
        ([[1], 2], "int64", 2, "the lists of a level must have the same length"),
        ([[1]], "int64", 1, "the values of int64 must be integers, in lists nested as the shape"),
        ([True], "int64", 1, "the values of int64 must be integers"),
        ([1.0], "int64", 1, "the values of int64 must be integers"),
        ([1], "bool", 1, "the values of bool must be true or false"),
        ([None], "float32", 1, "the values of float32 must be numbers"),
        ([1], "string", 1, "the values of string must be texts"),
        ([256], "uint8", 1, "a number does not fit into uint8"),
        ([-1], "uint8", 1, "a number does not fit into uint8"),
        ([1e39], "float32", 1, "a number does not fit into float32"),
        ([1e5], "float16", 1, "a number does not fit into float16"),
        ([10**400], "float64", 1, "a number does not fit into float64"),
    ],
)
def test_other_values_are_refused(value: Any, name: str, dimensions: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_lists(value, name, dimensions)
