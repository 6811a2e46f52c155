"""Tensors as JSON numbers and as bytes: little-endian, row after row, each BYTES element after its length."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from hearth.errors import BadRequest
from hearth.strict_json import safe_name

Array = np.ndarray[Any, Any]
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
KINDS: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}, "f": {int, float}}
"""What JSON has for NumPy's kinds of types."""
DATATYPES = {
    "float32": "FP32",
    "float16": "FP16",
    "int64": "INT64",
    "int32": "INT32",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
    "string": "BYTES",
}
"""Of a manifest's types."""


def bytes_array(elements: Sequence[bytes], shape: Sequence[int] | None = None) -> Array:
    """A BYTES tensor: an array of `bytes` objects."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array if shape is None else array.reshape(shape)


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """Raises BadRequest: half floats, another count than the shape's, a value that is not of the type."""
    if datatype == "FP16":
        raise BadRequest(f"Input {safe_name(name)}: FP16 does not travel as JSON; send it as binary data, or FP32")
    if not isinstance(data, list):
        raise BadRequest(f"Input {safe_name(name)}: `data` must be a list")
    nested = bool(data) and isinstance(data[0], list)
    flat = list(_flat(name, data, shape)) if nested else data
    if len(flat) != math.prod(shape):
        raise BadRequest(
            f"Input {safe_name(name)}: the shape {list(shape)} has {math.prod(shape)} elements, `data` {len(flat)}"
        )
    kinds = set(map(type, flat))
    if datatype == "BYTES":
        if kinds - {str}:
            raise BadRequest(f"Input {safe_name(name)}: BYTES in JSON are strings")
        return bytes_array([text.encode() for text in flat], shape)
    dtype = DTYPES[datatype]
    if kinds - KINDS[dtype.kind]:
        raise BadRequest(
            f"Input {safe_name(name)}: {datatype} takes {'true and false' if dtype.kind == 'b' else 'numbers'}"
            f"{' without a fraction' if dtype.kind in 'iu' else ''}, nothing else"
        )
    if dtype.kind in "iu" and flat:
        bounds = np.iinfo(dtype)
        if min(flat) < bounds.min or max(flat) > bounds.max:
            raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype).reshape(shape)
    except OverflowError:  # an integer beyond any float
        raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}") from None
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}")
    return array


def _flat(name: str, data: list[Any], shape: Sequence[int]) -> Iterator[Any]:
    """Raises BadRequest where the nesting is not the shape's."""
    if not shape or len(data) != shape[0]:
        raise BadRequest(f"Input {safe_name(name)}: `data` is not nested as its shape says")
    for part in data:
        if len(shape) == 1:
            yield part
        elif not isinstance(part, list):
            raise BadRequest(f"Input {safe_name(name)}: `data` is not nested as its shape says")
        else:
            yield from _flat(name, part, shape[1:])


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """Raises BadRequest for another count of bytes than the shape's."""
    count = math.prod(shape)
    if datatype == "BYTES":
        elements = list(islice(_elements(name, raw), count + 1))
        if len(elements) != count:
            raise BadRequest(
                f"Input {safe_name(name)}: the shape {list(shape)} has {count} elements, its bytes hold another number"
            )
        return bytes_array(elements, shape)
    dtype = DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        wanted = count * dtype.itemsize
        raise BadRequest(f"Input {safe_name(name)}: {datatype} {list(shape)} is {wanted} bytes; {len(raw)} came")
    if datatype == "BOOL" and raw.strip(b"\0\1"):
        raise BadRequest(f"Input {safe_name(name)}: the bytes of BOOL are 0 and 1")
    return np.frombuffer(raw, dtype).reshape(shape)


def _elements(name: str, raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        if len(raw) - at < 4:
            raise BadRequest(f"Input {safe_name(name)}: each element of BYTES begins with four bytes, its length")
        (length,) = struct.unpack_from("<I", raw, at)
        at += 4 + length
        if at > len(raw):
            raise BadRequest(f"Input {safe_name(name)}: an element says it has {length} bytes, which are not there")
        yield raw[at - length : at]


def to_json(name: str, datatype: str, array: Array) -> list[Any]:
    """Flat. Raises BadRequest for what JSON cannot hold."""
    if datatype == "FP16":
        raise BadRequest(f"Output {safe_name(name)}: FP16 does not travel as JSON; ask for it with `binary_data`")
    if datatype == "BYTES":
        return [element.decode() for element in array.ravel().tolist()]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequest(
            f"Output {safe_name(name)}: there is NaN or infinity in it, which JSON has not; ask with `binary_data`"
        )
    return array.ravel().tolist()


def to_bytes(datatype: str, array: Array) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(element)) + element for element in array.ravel().tolist())
    return np.ascontiguousarray(array, DTYPES[datatype]).tobytes()
