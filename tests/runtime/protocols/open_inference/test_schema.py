"""The protocol's documents: what is accepted, and how errors look."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from hearth.errors import NotFound
from hearth.protocols.open_inference import schema
from hearth.protocols.open_inference.schema import (
    GenerateResponse,
    InferenceRequest,
    InferenceResponse,
    RequestInput,
    ResponseOutput,
    encode_error,
)
from hearth.protocols.open_inference.tensors import DTYPES
from tests.support.structs import mutable_structs

INPUT = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}


def test_an_error_is_one_text() -> None:
    assert json.loads(encode_error(NotFound("gone"), "request-1")) == {"error": "gone"}


def test_every_datatype_is_known() -> None:
    for datatype in (*DTYPES, "BYTES"):
        assert msgspec.convert(INPUT | {"datatype": datatype}, RequestInput).datatype == datatype


@pytest.mark.parametrize(
    "document",
    [
        {"inputs": []},
        {"inputs": [INPUT | {"datatype": "BF16"}]},
        {"inputs": [INPUT | {"shape": [-1]}]},
        {"inputs": [INPUT | {"shape": [2**31]}]},
        {"inputs": [INPUT | {"shape": [1] * 9}]},
        {"inputs": [INPUT | {"parameters": {"x": []}}]},
        {"inputs": [INPUT | {"y": 1}]},
        {"inputs": [INPUT], "y": 1},
        {"inputs": [INPUT] * 1001},
        {"inputs": [INPUT], "outputs": [{"name": "x"}] * 1001},
        {"inputs": [INPUT], "outputs": [{"name": "x", "y": 1}]},
    ],
)
def test_other_documents_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, InferenceRequest)


def test_the_largest_documents_are_accepted() -> None:
    tensor = INPUT | {"shape": [2**31 - 1, 0, *[1] * 6]}
    document = {"inputs": [tensor] * 1000, "outputs": [{"name": "x"}] * 1000, "id": "i", "model_name": "m"}
    assert len(msgspec.convert(document, InferenceRequest).inputs) == 1000


def test_fields_that_are_not_set_are_not_sent() -> None:
    output = ResponseOutput("x", "FP32", [1], data=[1.0])
    assert json.loads(msgspec.json.encode(InferenceResponse("m", "1", "i", [output]))) == {
        "model_name": "m",
        "model_version": "1",
        "id": "i",
        "outputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1.0]}],
    }
    assert "done" not in json.loads(msgspec.json.encode(GenerateResponse("i", "m", "1", "text")))


def test_documents_are_not_changed() -> None:
    assert mutable_structs(schema) == set()
