"""Tensors as JSON and as binary data, both ways, and every refusal."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hearth.errors import BadRequest
from hearth.models.manifest import DataType
from hearth.protocols.open_inference.tensors import (
    DATATYPES,
    DTYPES,
    bytes_array,
    from_bytes,
    from_json,
    to_bytes,
    to_json,
)


def test_every_type_of_a_manifest_has_a_datatype() -> None:
    assert DATATYPES.keys() == set(DataType.__args__)
    for name, datatype in DATATYPES.items():
        if datatype != "BYTES":
            assert DTYPES[datatype] == np.dtype(name).newbyteorder("<")


@pytest.mark.parametrize("datatype", DTYPES)
def test_binary_data_is_little_endian_and_comes_back(datatype: str) -> None:
    dtype = DTYPES[datatype]
    array = np.array([[0, 1], [1, 0], [1, 1]]).astype(dtype)
    raw = to_bytes(datatype, array)
    assert raw == array.tobytes()
    assert len(raw) == 6 * dtype.itemsize
    back = from_bytes("x", datatype, [3, 2], raw)
    assert back.dtype == dtype
    assert back.tolist() == array.tolist()
    assert to_bytes(datatype, np.asfortranarray(array)) == raw  # row-major, however it lies in memory


def test_a_number_of_two_bytes_has_its_lowest_byte_first() -> None:
    assert to_bytes("INT16", np.array([258], ">i2")) == b"\x02\x01"
    assert from_bytes("x", "UINT32", [1], b"\x01\x02\x00\x00").tolist() == [513]


@given(hnp.arrays(np.int32, hnp.array_shapes(min_side=0, max_dims=3), elements=st.integers(-9, 9)))
def test_json_of_integers_comes_back_flat_and_nested(array: Any) -> None:
    flat = to_json("x", "INT32", array)
    assert from_json("x", "INT32", list(array.shape), flat).tolist() == array.tolist()
    if array.size:
        assert from_json("x", "INT32", list(array.shape), array.tolist()).tolist() == array.tolist()


def test_texts_are_bytes_with_their_length_before_them() -> None:
    array = bytes_array([b"ab", b"", "ü".encode()], (3, 1))
    assert array.shape == (3, 1)
    raw = to_bytes("BYTES", array)
    assert raw == b"\x02\0\0\0ab\0\0\0\0\x02\0\0\0\xc3\xbc"
    assert from_bytes("x", "BYTES", [3, 1], raw).ravel().tolist() == [b"ab", b"", "ü".encode()]
    assert to_json("x", "BYTES", array) == ["ab", "", "ü"]
    assert from_json("x", "BYTES", [3, 1], [["ab"], [""], ["ü"]]).ravel().tolist() == array.ravel().tolist()
    assert bytes_array([b"a", b"b"]).shape == (2,)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "message"),
    [
        ("FP16", [1], [1.0], "FP16 is not supported in JSON; send it as binary data, or send FP32"),
        ("FP32", [1], "1", "`data` must be a list"),
        ("FP32", [1], None, "`data` must be a list"),
        ("FP32", [2], [1.0], r"the shape \[2\] has 2 elements, `data` 1"),
        ("FP32", [2, 2], [[1.0, 2.0]], "not nested as its shape"),
        ("FP32", [2, 2], [[1.0, 2.0], [3.0]], "not nested as its shape"),
        ("FP32", [2, 2], [[1.0, 2.0], 3.0], "not nested as its shape"),
        ("FP32", [], [[1.0]], "not nested as its shape"),
        ("BYTES", [1], [1], "BYTES must be strings in JSON"),
        ("BOOL", [1], [1], "the values of BOOL must be true or false"),
        ("INT64", [1], [1.5], "the values of INT64 must be integers"),
        ("INT64", [1], [True], "the values of INT64 must be integers"),
        ("UINT8", [1], ["1"], "the values of UINT8 must be integers"),
        ("FP32", [1], [False], "the values of FP32 must be numbers"),
        ("FP32", [1], [None], "the values of FP32 must be numbers"),
        ("INT8", [1], [128], "a number does not fit into INT8"),
        ("INT8", [1], [-129], "a number does not fit into INT8"),
        ("UINT64", [1], [-1], "a number does not fit into UINT64"),
        ("FP32", [1], [1e39], "a number does not fit into FP32"),
        ("FP64", [1], [10**400], "a number does not fit into FP64"),
    ],
)
def test_json_that_is_no_such_tensor_is_refused(datatype: str, shape: list[int], data: Any, message: str) -> None:
    with pytest.raises(BadRequest, match=f"Input `a`: .*{message}"):
        from_json("a", datatype, shape, data)


@pytest.mark.parametrize(
    ("datatype", "values"),
    [
        ("INT8", [-128, 127]),
        ("UINT64", [0, 2**64 - 1]),
        ("INT64", [-(2**63), 2**63 - 1]),
        ("FP32", [1, 2.5]),
        ("BOOL", [True, False]),
        ("INT32", []),
    ],
)
def test_json_at_the_bounds_is_accepted(datatype: str, values: list[Any]) -> None:
    array = from_json("a", datatype, [len(values)], values)
    assert array.tolist() == values
    assert array.dtype == DTYPES[datatype]


def test_a_scalar_has_an_empty_shape() -> None:
    assert from_json("a", "INT32", [], [5]).shape == ()
    assert from_bytes("a", "INT32", [], b"\x05\0\0\0").shape == ()


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "message"),
    [
        ("INT32", [2], bytes(7), r"INT32 \[2\] needs 8 bytes; 7 were sent"),
        ("INT32", [2], bytes(9), r"INT32 \[2\] needs 8 bytes; 9 were sent"),
        ("BOOL", [2], b"\x01\x02", "the bytes of BOOL must be 0 or 1"),
        ("BYTES", [2], struct.pack("<I", 1) + b"a", r"the shape \[2\] has 2 elements, the binary data another number"),
        ("BYTES", [1], 2 * (struct.pack("<I", 1) + b"a"), r"the shape \[1\] has 1 elements"),
        ("BYTES", [1], b"\0\0\0", "must begin with its length in four bytes"),
        ("BYTES", [1], struct.pack("<I", 2) + b"a", "an element has a length of 2 bytes, but fewer follow"),
        ("BYTES", [2], struct.pack("<I", 1) + b"a\x01", "must begin with its length in four bytes"),
    ],
)
def test_bytes_that_are_no_such_tensor_are_refused(datatype: str, shape: list[int], raw: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=f"Input `a`: .*{message}"):
        from_bytes("a", datatype, shape, raw)


def test_many_elements_of_a_small_shape_are_not_all_read() -> None:
    """The number of elements is limited by the shape, not by the body."""
    with pytest.raises(BadRequest, match="another number"):
        from_bytes("a", "BYTES", [1], bytes(4) * 1_000_000)
    assert from_bytes("a", "BYTES", [0], b"").size == 0


def test_an_output_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(BadRequest, match="Output `y`: FP16 is not supported in JSON; request it with `binary_data`"):
        to_json("y", "FP16", np.zeros(1, np.float16))
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(BadRequest, match="Output `y`: JSON does not support NaN and infinity"):
            to_json("y", "FP32", np.array([0, value], np.float32))
    assert to_json("y", "FP32", np.array([[0.5], [1]], np.float32)) == [0.5, 1]
