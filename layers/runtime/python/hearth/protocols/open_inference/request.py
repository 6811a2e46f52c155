"""Decodes a body to tensors: JSON, JSON followed by binary data, or binary data only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.open_inference.schema import (
    HEADER_LENGTH,
    InferenceRequest,
    Parameters,
    RequestInput,
    RequestOutput,
    TensorMetadata,
)
from hearth.protocols.open_inference.tensors import DTYPES, Array, bytes_array, from_bytes, from_json
from hearth.strict_json import safe_name

RESERVED = ("sequence_id", "sequence_start", "sequence_end", "headers")
"""Parameters of Triton that are not supported here, as are all that begin with `triton_`."""
QUEUE_PARAMETERS = ("priority", "timeout")
"""Parameters of Triton's queue, which are ignored because there is no queue."""
CONTENT_TYPES = ("str", "base64", "np")


@dataclass(frozen=True)
class InputTensor:
    datatype: str
    array: Array
    binary: bool
    """Whether it was sent as binary data."""
    content_type: str = ""
    """MLServer's content type of a BYTES tensor; base64 is already decoded."""


@dataclass(frozen=True)
class RequestedOutput:
    name: str
    binary: bool
    classes: int = 0
    """Number of classes of the classification extension; 0: the tensor itself."""


@dataclass(frozen=True)
class ParsedRequest:
    tensors: dict[str, InputTensor]
    outputs: tuple[RequestedOutput, ...]
    id: str
    parameters: dict[str, Any]
    """The task's parameters."""


@dataclass(frozen=True)
class SplitBody:
    document: InferenceRequest | None
    """None: the body is the binary data of the only input."""
    binary_data: bytes
    """The data after the JSON."""
    has_json_length: bool
    """Whether a header has the length of the JSON."""

    @property
    def task(self) -> str:
        """The requested task, if any: a model may support others than its own."""
        return str(self.document.parameters.get("task", "")) if self.document else ""

    @property
    def explain(self) -> bool:
        """Whether the predictions shall be explained."""
        return bool(self.document and self.document.parameters.get("explain"))


def split_body(body: bytes, headers: Mapping[str, str]) -> SplitBody:
    """Split a body into JSON and binary data. Raises BadRequest."""
    length = headers.get(HEADER_LENGTH)
    if length is None:
        if not body:
            raise BadRequest('The body is empty; send {"inputs": [{"name", "shape", "datatype", "data"}]}')
        return SplitBody(strict_json.convert(strict_json.loads(body), InferenceRequest), b"", False)
    if not length.isascii() or not length.isdigit() or int(length[:12]) > len(body):
        raise BadRequest("Inference-Header-Content-Length must be the number of bytes of the body's JSON part")
    size = int(length[:12])
    if not size:
        return SplitBody(None, body, True)
    return SplitBody(strict_json.convert(strict_json.loads(body[:size]), InferenceRequest), body[size:], True)


def parse(split: SplitBody, inputs: Sequence[TensorMetadata], outputs: Sequence[str]) -> ParsedRequest:
    """Parse a request to a model with these `inputs` and `outputs`. Raises BadRequest."""
    if split.document is None:
        return _parse_raw(split.binary_data, inputs, outputs)
    requested, parameters = _outputs_and_parameters(split.document, outputs)
    tensors = _tensors(split.document, split.binary_data, split.has_json_length)
    return ParsedRequest(tensors, requested, split.document.id, parameters)


def _parse_raw(body: bytes, inputs: Sequence[TensorMetadata], outputs: Sequence[str]) -> ParsedRequest:
    """Parse the binary data of the only input, a batch of one; all outputs are returned as binary data."""
    if len(inputs) != 1:
        raise BadRequest(
            f"The model has {len(inputs)} inputs; binary data without JSON is only supported for models with one"
        )
    (tensor,) = inputs
    requested = tuple(RequestedOutput(name, True) for name in outputs)
    if tensor.datatype == "BYTES":
        return ParsedRequest({tensor.name: InputTensor("BYTES", bytes_array([body]), True)}, requested, "", {})
    shape = [1, *tensor.shape[1:]] if tensor.shape[:1] == (-1,) else list(tensor.shape)
    if shape.count(-1) > 1:
        raise BadRequest(
            "The model's input has several dynamic dimensions; send its shape in JSON before the binary data"
        )
    if -1 in shape:
        item_size = DTYPES[tensor.datatype].itemsize * math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = len(body) // item_size
    array = from_bytes(tensor.name, tensor.datatype, shape, body)
    return ParsedRequest({tensor.name: InputTensor(tensor.datatype, array, True)}, requested, "", {})


def _tensors(document: InferenceRequest, binary_data: bytes, has_json_length: bool) -> dict[str, InputTensor]:
    default_content_type = document.parameters.get("content_type", "")
    tensors: dict[str, InputTensor] = {}
    offset = 0
    for tensor in document.inputs:
        if tensor.name in tensors:
            raise BadRequest(f"Input {safe_name(tensor.name)} occurs twice")
        if math.prod(max(size, 1) for size in tensor.shape) >= 2**48:
            raise BadRequest(f"Input {safe_name(tensor.name)}: the shape {tensor.shape} is too large")
        size = _checked_parameters(tensor).get("binary_data_size")
        if size is None:
            array = from_json(tensor.name, tensor.datatype, tensor.shape, tensor.data)
        elif type(size) is not int or size < 0 or offset + size > len(binary_data):
            reason = "" if has_json_length else "; the header Inference-Header-Content-Length is missing"
            raise BadRequest(
                f"Input {safe_name(tensor.name)}: `binary_data_size` is {size}; there are not that many bytes{reason}"
            )
        else:
            array = from_bytes(tensor.name, tensor.datatype, tensor.shape, binary_data[offset : offset + size])
            offset += size
        content_type = str(tensor.parameters.get("content_type", default_content_type))
        if content_type and content_type not in CONTENT_TYPES:
            raise BadRequest(f"`content_type` must be one of {', '.join(CONTENT_TYPES)}")
        if content_type == "base64" and tensor.datatype == "BYTES":
            array = decode_base64(tensor.name, array)
        tensors[tensor.name] = InputTensor(tensor.datatype, array, size is not None, content_type)
    if offset != len(binary_data):
        raise BadRequest(f"{len(binary_data) - offset} bytes follow that belong to no input's `binary_data_size`")
    return tensors


def _checked_parameters(tensor: RequestInput) -> Parameters:
    """The parameters of an input. Raises BadRequest for unknown ones, and for data that is missing or sent twice."""
    unknown = sorted(tensor.parameters.keys() - {"binary_data_size", "content_type"})
    if unknown:
        raise BadRequest(f"Input {safe_name(tensor.name)}: the parameter {safe_name(unknown[0])} is not supported here")
    binary = "binary_data_size" in tensor.parameters
    if binary == isinstance(tensor.data, list):
        raise BadRequest(f"Input {safe_name(tensor.name)} must have either `data`, a list, or `binary_data_size`")
    return tensor.parameters


def decode_base64(name: str, array: Array) -> Array:
    """Decode the elements. Raises BadRequest."""
    try:
        texts = [element.decode("ascii", "replace") for element in array.ravel().tolist()]
        return bytes_array([strict_json.decode_base64(text) for text in texts], array.shape)
    except BadRequest as error:
        raise BadRequest(f"Input {safe_name(name)}: {error.message}") from None


def _outputs_and_parameters(
    document: InferenceRequest, outputs: Sequence[str]
) -> tuple[tuple[RequestedOutput, ...], dict[str, Any]]:
    """The requested outputs, and the task's parameters. Raises BadRequest."""
    parameters: dict[str, Any] = dict(document.parameters)
    binary = _boolean(parameters.pop("binary_data_output", False), "binary_data_output")
    for name in ("content_type", "task", *QUEUE_PARAMETERS):
        parameters.pop(name, None)
    for name in parameters:
        if name in RESERVED or name.startswith("triton_"):
            raise BadRequest(f"The parameter {safe_name(name)} is one of Triton's that is not supported here")
    if not document.outputs:
        return tuple(RequestedOutput(name, binary) for name in outputs), parameters
    names = [output.name for output in document.outputs]
    for name in names:
        if name not in outputs:
            raise BadRequest(f"There is no output {safe_name(name)}; the outputs are: {', '.join(outputs)}")
        if names.count(name) > 1:
            raise BadRequest(f"Output {safe_name(name)} is requested twice")
    return tuple(_requested(output, binary) for output in document.outputs), parameters


def _requested(output: RequestOutput, binary: bool) -> RequestedOutput:
    unknown = sorted(output.parameters.keys() - {"binary_data", "classification", "content_type"})
    if unknown:
        raise BadRequest(
            f"Output {safe_name(output.name)}: the parameter {safe_name(unknown[0])} is not supported here"
        )
    classes = output.parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise BadRequest(f"Output {safe_name(output.name)}: `classification` must be a number of classes")
    return RequestedOutput(output.name, _boolean(output.parameters.get("binary_data", binary), "binary_data"), classes)


def _boolean(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"`{name}` must be true or false")
    return value


def to_feed(tensor: InputTensor) -> Array:
    """The tensor as ONNX Runtime expects it: BYTES as strings. Raises BadRequest."""
    if tensor.datatype != "BYTES":
        return tensor.array
    try:
        texts = [element.decode() for element in tensor.array.ravel().tolist()]
    except UnicodeDecodeError:
        raise BadRequest("The graph's inputs are texts, which must be UTF-8") from None
    return np.array(texts, object).reshape(tensor.array.shape)
