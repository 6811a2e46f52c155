"""Arrays from the nested lists of JSON, with their types checked: JSON has fewer types than tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
KINDS: dict[str, tuple[type, ...]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "O": (str,)}
"""NumPy's kind of a data type -> the Python types of its JSON values."""
VALUES = {"b": "true or false", "i": "integers", "u": "integers", "f": "numbers", "O": "texts"}


def dtype_of(name: str) -> np.dtype[Any]:
    """NumPy's data type of one in a manifest; texts are Python objects."""
    return np.dtype(object if name == "string" else name)


def parse_lists(value: Any, name: str, dimensions: int | None) -> Array:
    """An array of the manifest's data type `name` from nested lists; `dimensions` None: any number of dimensions.

    Raises ValueError, whose message describes what is wrong.
    """
    dtype = dtype_of(name)
    shape = _shape(value, dimensions)
    flat = _flatten(value, shape)
    if any(type(item) not in KINDS[dtype.kind] for item in flat):
        raise ValueError(f"the values of {name} must be {VALUES[dtype.kind]}, in lists nested as the shape")
    if dtype.kind in "iu" and flat:
        bounds = np.iinfo(dtype)
        if min(flat) < bounds.min or max(flat) > bounds.max:
            raise ValueError(f"a number does not fit into {name}")
    array = np.empty(len(flat), dtype)
    try:
        with np.errstate(over="ignore"):
            array[:] = flat
    except OverflowError:
        raise ValueError(f"a number does not fit into {name}") from None
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"a number does not fit into {name}")
    return array.reshape(shape)


def _shape(value: Any, dimensions: int | None) -> tuple[int, ...]:
    """The lengths of the first list of each level."""
    shape: list[int] = []
    while isinstance(value, list) and (dimensions is None or len(shape) < dimensions):
        shape.append(len(value))
        value = value[0] if value else None
    if dimensions is not None and len(shape) < dimensions and 0 not in shape:
        raise ValueError(f"the lists must be nested {dimensions} deep, not {len(shape)}")
    return tuple(shape) + (0,) * ((dimensions or len(shape)) - len(shape))


def _flatten(value: Any, shape: tuple[int, ...]) -> list[Any]:
    """The items in row-major order. Raises ValueError for lists of different lengths."""
    items = [value]
    for length in shape:
        if any(not isinstance(item, list) or len(item) != length for item in items):
            raise ValueError("the lists of a level must have the same length")
        items = [element for item in items for element in item]
    return items
