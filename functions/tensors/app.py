"""tensors: any graph, called by its tensors, without preprocessing."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest
from hearth.models.manifest import ANY_SHAPE, Tensor
from hearth.models.model import Model
from hearth.ops.json_tensors import dtype_of, parse_lists
from hearth.strict_json import convert, safe_name
from hearth.tasks.graph import check_names, check_shapes, count_items, from_json, run, to_json
from hearth.tasks.task import Prediction, Task, Usage
from hearth.telemetry.timing import step

Graph = Model[None, None]
MAX_DIMENSIONS = 64
"""Of NumPy's arrays."""


class Parameters(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Binary(Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor as bytes: little-endian, in row-major order."""

    base64: str
    shape: Annotated[list[int], Meta(max_length=MAX_DIMENSIONS)]


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: dict[str, Any]
    """The graph's inputs by name: numbers, texts or booleans in lists nested as the shape, or an object with `base64`
    and `shape`; sequences and maps of ONNX as JSON has them."""
    parameters: Parameters = Parameters()


Response = dict[str, Any]
"""The graph's outputs by name, in lists nested as the shape."""


def encode(model: Graph, request: Request) -> dict[str, Any]:
    """The graph's feeds. Raises BadRequest, PayloadTooLarge."""
    graph = model.manifest.graphs["main"]
    check_names(graph, request.inputs)
    feeds = {tensor.name: _parse(tensor, request.inputs[tensor.name]) for tensor in graph.inputs}
    check_shapes(model.manifest, graph, feeds)
    return feeds


def _parse(tensor: Tensor, value: Any) -> Any:
    if tensor.dtype == "json":
        return from_json(tensor, value)
    if isinstance(value, dict):
        return _from_binary(tensor, convert(value, Binary))
    try:
        return parse_lists(value, tensor.dtype, None if tensor.shape == ANY_SHAPE else len(tensor.shape))
    except ValueError as error:
        raise BadRequest(f"Input {safe_name(tensor.name)}: {error}") from None


def _from_binary(tensor: Tensor, binary: Binary) -> np.ndarray[Any, Any]:
    if tensor.dtype == "string":
        raise BadRequest(f"Input {safe_name(tensor.name)} has texts; send them in lists")
    dtype = dtype_of(tensor.dtype)
    try:
        raw = b64decode(binary.base64, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"Input {safe_name(tensor.name)}: `base64` is not valid base64") from None
    if min(binary.shape, default=0) < 0 or len(raw) != math.prod(binary.shape) * dtype.itemsize:
        raise BadRequest(
            f"Input {safe_name(tensor.name)}: {tensor.dtype} of the shape {binary.shape} needs "
            f"{max(math.prod(binary.shape), 0) * dtype.itemsize} bytes; `base64` has {len(raw)}"
        )
    if tensor.dtype == "bool" and raw.strip(b"\0\1"):
        raise BadRequest(f"Input {safe_name(tensor.name)}: the bytes of bool must be 0 or 1")
    try:
        return np.frombuffer(raw, dtype).reshape(binary.shape)
    except ValueError:  # a dimension of 0 beside vast ones
        raise BadRequest(f"Input {safe_name(tensor.name)}: the shape {binary.shape} is too large") from None


def decode(model: Graph, request: Request, outputs: list[Any]) -> Response:
    """Raises BadRequest for values that JSON does not support."""
    response = {}
    for tensor, value in zip(model.manifest.graphs["main"].outputs, outputs, strict=True):
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            raise BadRequest(
                f"Output {tensor.name!r} has NaN or infinity, which JSON does not support; request it as binary data "
                "by the Open Inference Protocol"
            )
        response[tensor.name] = to_json(value)
    return response


def predict(model: Graph, request: Request) -> Prediction:
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = run(model, feeds)
    with step("decode"):
        response = decode(model, request, outputs)
    return Prediction(response, Usage(count_items(feeds)))


TASKS = (Task("tensors", Request, Response, predict, {"inputs": {"input": [[0.5, 1.5]]}}),)
handler = create_handler(TASKS)
