"""Draws inputs that a graph accepts, from the types and shapes of its inputs alone."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hearth.models.manifest import ANY_SHAPE, Tensor
from hearth.ops.json_tensors import dtype_of

SECONDS = 60.0
"""Limit of the search."""
SIZES = (8, 16, 32, 1, 2, 3, 4, 64, 128, 224, 256, 320, 416, 480, 512, 576, 640, 1024, 4000, 16000)
"""Sizes of dynamic dimensions that are tried."""
INTEGERS = ((0, 10), (0, 2), (1, 2), (0, 1), (16000, 16001))
"""Ranges of integers that are tried: small indices, flags, ones, zeros, a sampling rate."""
WORDS = ("alpha", "beta", "gamma", "delta")
Feeds = dict[str, Any]


def draw_feeds(session: Any, inputs: Sequence[Tensor], count: int) -> list[Feeds]:
    """`count` feeds, as JSON has them, with which the graph runs, gives finite numbers and gives them again; none if
    no such feeds are known."""
    end = time.monotonic() + SECONDS
    names = [output.name for output in session.get_outputs()]
    for shapes, integers in itertools.product(_shapes(inputs), INTEGERS):
        if time.monotonic() > end:
            break
        feeds = [_draw(np.random.default_rng(seed), inputs, shapes, integers) for seed in range(count)]
        if all(_is_answered(session, names, inputs, feed) for feed in feeds):
            return feeds
    return []


def to_arrays(inputs: Sequence[Tensor], feed: Feeds) -> Feeds:
    """What ONNX Runtime takes for a feed that `draw_feeds` returned."""
    from hearth.ops.json_tensors import parse_lists
    from hearth.tasks.graph import from_json

    return {
        tensor.name: from_json(tensor, feed[tensor.name])
        if tensor.dtype == "json"
        else parse_lists(feed[tensor.name], tensor.dtype, None if tensor.shape == ANY_SHAPE else len(tensor.shape))
        for tensor in inputs
    }


def _is_answered(session: Any, names: list[str], inputs: Sequence[Tensor], feed: Feeds) -> bool:
    arrays = to_arrays(inputs, feed)
    try:
        outputs, again = session.run(names, arrays), session.run(names, arrays)
    except Exception:  # ONNX Runtime's own classes share no narrower base
        return False
    return all(_is_finite(first) and _is_equal(first, second) for first, second in zip(outputs, again, strict=True))


def _is_finite(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())


def _is_equal(first: Any, second: Any) -> bool:
    """Whether an output repeats: a graph with random numbers has no golden answers."""
    if not isinstance(first, np.ndarray):
        return str(first) == str(second)
    if first.shape != second.shape:
        return False
    return bool(np.allclose(first, second, atol=1e-4) if first.dtype.kind == "f" else (first == second).all())


def _shapes(inputs: Sequence[Tensor]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Shapes of all inputs to try: what dynamic dimensions are is guessed from their places."""
    for size in SIZES:
        previous = None
        for guess in (_batch_first, _last_only, _pixels_first, _pixels_last, _grey_first, _all_equal):
            shapes = {tensor.name: guess(tensor.shape, size) for tensor in inputs}
            if shapes != previous:
                yield shapes
            previous = shapes


def _fill(shape: tuple[int | str, ...], sizes: Sequence[int]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else sizes[axis] for axis, size in enumerate(shape))


def _batch_first(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    """The first dimension is a batch of one."""
    return (1, size) if shape == ANY_SHAPE else _fill(shape, (1, *[size] * len(shape)))


def _last_only(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    """All dimensions but the last are one."""
    return (size,) if shape == ANY_SHAPE else _fill(shape, (*[1] * (len(shape) - 1), size))


def _pixels_first(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    """Images with three channels first."""
    return _fill(shape, (1, 3, size, size)) if len(shape) == 4 else _batch_first(shape, size)


def _pixels_last(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    """Images with three channels last."""
    return _fill(shape, (1, size, size, 3)) if len(shape) == 4 else _batch_first(shape, size)


def _grey_first(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    """Images with one channel first."""
    return _fill(shape, (1, 1, size, size)) if len(shape) == 4 else _batch_first(shape, size)


def _all_equal(shape: tuple[int | str, ...], size: int) -> tuple[int, ...]:
    return (size,) if shape == ANY_SHAPE else _fill(shape, [size] * len(shape))


def _draw(
    random: np.random.Generator, inputs: Sequence[Tensor], shapes: dict[str, tuple[int, ...]], integers: tuple[int, int]
) -> Feeds:
    return {
        tensor.name: _draw_json(random, tensor.onnx_type, integers)
        if tensor.dtype == "json"
        else _draw_lists(random, tensor.dtype, shapes[tensor.name], integers)
        for tensor in inputs
    }


def _draw_lists(random: np.random.Generator, name: str, shape: tuple[int, ...], integers: tuple[int, int]) -> Any:
    dtype = dtype_of(name)
    if dtype.kind == "f":
        return random.normal(size=shape).round(3).tolist()
    if dtype.kind == "b":
        return (random.random(shape) < 0.5).tolist()
    if dtype.kind == "O":
        return random.choice(np.array(WORDS), shape).tolist()
    low, high = integers
    return random.integers(low, min(high, int(np.iinfo(dtype).max)), shape).tolist()


def _draw_json(random: np.random.Generator, kind: str, integers: tuple[int, int]) -> Any:
    """A value of a sequence, a map or an optional type."""
    if match := re.fullmatch(r"optional\((.*)\)", kind):
        return _draw_json(random, match[1], integers)
    if match := re.fullmatch(r"seq\((.*)\)", kind):
        return [_draw_json(random, match[1], integers) for _ in range(2)]
    if match := re.fullmatch(r"map\((\w+),tensor\((\w+)\)\)", kind):
        keys = map(str, range(3)) if match[1] == "int64" else WORDS[:3]
        return {key: _draw_json(random, f"tensor({match[2]})", integers)[0] for key in keys}
    element = re.sub(r"tensor\((\w+)\)", r"\1", kind)
    dtype = {"float": "float32", "double": "float64"}.get(element, element)
    return _draw_lists(random, dtype, (3,), integers)
