"""Tensors as JSON and as binary data: little-endian, in row-major order, each BYTES element after its length."""

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
"""NumPy's kind of a data type -> the Python types of its JSON values."""
JSON_VALUES = {"b": "true or false", "i": "integers", "u": "integers", "f": "numbers"}
DATATYPES = {
    "float64": "FP64",
    "float32": "FP32",
    "float16": "FP16",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "int8": "INT8",
    "uint64": "UINT64",
    "uint32": "UINT32",
    "uint16": "UINT16",
    "uint8": "UINT8",
    "bool": "BOOL",
    "string": "BYTES",
    "json": "BYTES",
}
"""The manifest's data types -> the protocol's."""


def bytes_array(elements: Sequence[bytes], shape: Sequence[int] | None = None) -> Array:
    """A BYTES tensor: an array of `bytes` objects."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array if shape is None else array.reshape(shape)


def from_json(name: str, datatype: str, shape: Sequence[int], data: Any) -> Array:
    """Decode JSON. Raises BadRequest for FP16, a number of elements that does not fit the shape, or invalid values."""
    if datatype == "FP16":
        raise BadRequest(
            f"Input {safe_name(name)}: FP16 is not supported in JSON; send it as binary data, or send FP32"
        )
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
            raise BadRequest(f"Input {safe_name(name)}: BYTES must be strings in JSON")
        return bytes_array([text.encode() for text in flat], shape)
    dtype = DTYPES[datatype]
    if kinds - KINDS[dtype.kind]:
        raise BadRequest(f"Input {safe_name(name)}: the values of {datatype} must be {JSON_VALUES[dtype.kind]}")
    if dtype.kind in "iu" and flat:
        bounds = np.iinfo(dtype)
        if min(flat) < bounds.min or max(flat) > bounds.max:
            raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}")
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype).reshape(shape)
    except OverflowError:  # an integer too large for any float
        raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}") from None
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequest(f"Input {safe_name(name)}: a number does not fit into {datatype}")
    return array


def _flat(name: str, data: list[Any], shape: Sequence[int]) -> Iterator[Any]:
    """Flatten nested lists. Raises BadRequest if the nesting does not fit the shape."""
    if not shape or len(data) != shape[0]:
        raise BadRequest(f"Input {safe_name(name)}: `data` is not nested as its shape")
    for item in data:
        if len(shape) == 1:
            yield item
        elif not isinstance(item, list):
            raise BadRequest(f"Input {safe_name(name)}: `data` is not nested as its shape")
        else:
            yield from _flat(name, item, shape[1:])


def from_bytes(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Array:
    """Decode binary data. Raises BadRequest for a number of bytes that does not fit the shape."""
    count = math.prod(shape)
    if datatype == "BYTES":
        elements = list(islice(_elements(name, raw), count + 1))
        if len(elements) != count:
            raise BadRequest(
                f"Input {safe_name(name)}: the shape {list(shape)} has {count} elements, the binary data another number"
            )
        return bytes_array(elements, shape)
    dtype = DTYPES[datatype]
    if len(raw) != count * dtype.itemsize:
        expected = count * dtype.itemsize
        raise BadRequest(
            f"Input {safe_name(name)}: {datatype} {list(shape)} needs {expected} bytes; {len(raw)} were sent"
        )
    if datatype == "BOOL" and raw.strip(b"\0\1"):
        raise BadRequest(f"Input {safe_name(name)}: the bytes of BOOL must be 0 or 1")
    return np.frombuffer(raw, dtype).reshape(shape)


def _elements(name: str, raw: bytes) -> Iterator[bytes]:
    offset = 0
    while offset < len(raw):
        if len(raw) - offset < 4:
            raise BadRequest(f"Input {safe_name(name)}: each element of BYTES must begin with its length in four bytes")
        (length,) = struct.unpack_from("<I", raw, offset)
        offset += 4 + length
        if offset > len(raw):
            raise BadRequest(f"Input {safe_name(name)}: an element has a length of {length} bytes, but fewer follow")
        yield raw[offset - length : offset]


def to_json(name: str, datatype: str, array: Array) -> list[Any]:
    """Encode a tensor as a flat list. Raises BadRequest for values that JSON does not support."""
    if datatype == "FP16":
        raise BadRequest(f"Output {safe_name(name)}: FP16 is not supported in JSON; request it with `binary_data`")
    if datatype == "BYTES":
        return [element.decode() for element in array.ravel().tolist()]
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequest(
            f"Output {safe_name(name)}: JSON does not support NaN and infinity; request it with `binary_data`"
        )
    return array.ravel().tolist()


def to_bytes(datatype: str, array: Array) -> bytes:
    if datatype == "BYTES":
        return b"".join(struct.pack("<I", len(element)) + element for element in array.ravel().tolist())
    return np.ascontiguousarray(array, DTYPES[datatype]).tobytes()
