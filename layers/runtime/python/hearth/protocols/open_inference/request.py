"""From a body to tensors: JSON, JSON with bytes behind it, or bytes alone."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.open_inference.schema import LENGTH, Input, Output, Parameters, Request, Spec
from hearth.protocols.open_inference.tensors import DTYPES, Array, bytes_array, from_bytes, from_json
from hearth.strict_json import told

RESERVED = ("sequence_id", "sequence_start", "sequence_end", "headers")
"""Parameters of Triton that mean something which is not done here; so do all that begin with `triton_`."""
QUEUE = ("priority", "timeout")
"""Parameters of Triton's queue. There is none: whatever they ask for is so already."""
CONTENT_TYPES = ("str", "base64", "np")


@dataclass(frozen=True)
class Tensor:
    datatype: str
    array: Array
    binary: bool
    """Whether it came as bytes."""
    content_type: str = ""
    """MLServer's word for what a BYTES tensor holds; base64 is decoded already."""


@dataclass(frozen=True)
class Wanted:
    name: str
    binary: bool
    classes: int = 0
    """Of the classification extension; 0: the tensor itself."""


@dataclass(frozen=True)
class Asked:
    tensors: dict[str, Tensor]
    outputs: tuple[Wanted, ...]
    id: str
    parameters: dict[str, Any]
    """The task's own."""


@dataclass(frozen=True)
class Opened:
    """A body, taken apart."""

    request: Request | None
    """None: the body is the bytes of the only input."""
    rest: bytes
    """What follows the JSON."""
    measured: bool
    """Whether the header said where that begins."""

    @property
    def task(self) -> str:
        """That is asked for, if any: a model may answer others beside its own."""
        return str(self.request.parameters.get("task", "")) if self.request else ""


def open_body(body: bytes, headers: Mapping[str, str]) -> Opened:
    """Raises BadRequest."""
    length = headers.get(LENGTH)
    if length is None:
        if not body:
            raise BadRequest('The body is empty; send {"inputs": [{"name", "shape", "datatype", "data"}]}')
        return Opened(strict_json.convert(strict_json.loads(body), Request), b"", False)
    if not length.isascii() or not length.isdigit() or int(length[:12]) > len(body):
        raise BadRequest("Inference-Header-Content-Length must be the number of bytes of the body's JSON part")
    size = int(length[:12])
    if not size:
        return Opened(None, body, True)
    return Opened(strict_json.convert(strict_json.loads(body[:size]), Request), body[size:], True)


def read(opened: Opened, inputs: Sequence[Spec], outputs: Sequence[str]) -> Asked:
    """What is asked of a model with these `inputs` and `outputs`. Raises BadRequest."""
    if opened.request is None:
        return _raw(opened.rest, inputs, outputs)
    wanted, own = _wanted(opened.request, outputs)
    return Asked(_tensors(opened.request, opened.rest, opened.measured), wanted, opened.request.id, own)


def _raw(body: bytes, inputs: Sequence[Spec], outputs: Sequence[str]) -> Asked:
    """The bytes of the only input, in a batch of one; all outputs come as bytes."""
    if len(inputs) != 1:
        raise BadRequest(f"The model has {len(inputs)} inputs; bytes without JSON are for models with one")
    (spec,) = inputs
    wanted = tuple(Wanted(name, True) for name in outputs)
    if spec.datatype == "BYTES":
        return Asked({spec.name: Tensor("BYTES", bytes_array([body]), True)}, wanted, "", {})
    shape = [1, *spec.shape[1:]] if spec.shape[:1] == (-1,) else list(spec.shape)
    if shape.count(-1) > 1:
        raise BadRequest("The model's input has several dimensions that vary; say its shape in JSON before the bytes")
    if -1 in shape:
        unit = DTYPES[spec.datatype].itemsize * math.prod(size for size in shape if size != -1)
        shape[shape.index(-1)] = len(body) // unit
    array = from_bytes(spec.name, spec.datatype, shape, body)
    return Asked({spec.name: Tensor(spec.datatype, array, True)}, wanted, "", {})


def _tensors(request: Request, rest: bytes, measured: bool) -> dict[str, Tensor]:
    general = request.parameters.get("content_type", "")
    found: dict[str, Tensor] = {}
    at = 0
    for tensor in request.inputs:
        if tensor.name in found:
            raise BadRequest(f"Input {told(tensor.name)} is there twice")
        if math.prod(max(size, 1) for size in tensor.shape) >= 2**48:
            raise BadRequest(f"Input {told(tensor.name)}: the shape {tensor.shape} is no tensor's")
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            array = from_json(tensor.name, tensor.datatype, tensor.shape, tensor.data)
        elif type(size) is not int or size < 0 or at + size > len(rest):
            why = (
                ""
                if measured
                else "; the header Inference-Header-Content-Length, which says where they begin, is missing"
            )
            raise BadRequest(
                f"Input {told(tensor.name)}: `binary_data_size` is {size}; so many bytes are not there{why}"
            )
        else:
            array = from_bytes(tensor.name, tensor.datatype, tensor.shape, rest[at : at + size])
            at += size
        kind = str(tensor.parameters.get("content_type", general))
        if kind and kind not in CONTENT_TYPES:
            raise BadRequest(f"`content_type` must be one of {', '.join(CONTENT_TYPES)}")
        if kind == "base64" and tensor.datatype == "BYTES":
            array = decoded(tensor.name, array)
        found[tensor.name] = Tensor(tensor.datatype, array, size is not None, kind)
    if at != len(rest):
        raise BadRequest(f"{len(rest) - at} bytes follow that no input's `binary_data_size` speaks of")
    return found


def _parameters(tensor: Input) -> Parameters:
    """Raises BadRequest for what an input cannot be asked, and for data that is there twice or not at all."""
    unknown = sorted(tensor.parameters.keys() - {"binary_data_size", "content_type"})
    if unknown:
        raise BadRequest(f"Input {told(tensor.name)}: the parameter {told(unknown[0])} is not supported here")
    binary = "binary_data_size" in tensor.parameters
    if binary == isinstance(tensor.data, list):
        raise BadRequest(f"Input {told(tensor.name)} must have either `data`, a list, or `binary_data_size`")
    return tensor.parameters


def decoded(name: str, array: Array) -> Array:
    """From base64. Raises BadRequest."""
    try:
        return bytes_array([b64decode(element, validate=True) for element in array.ravel().tolist()], array.shape)
    except binascii.Error:
        raise BadRequest(f"Input {told(name)}: it must be base64, and is not") from None


def _wanted(request: Request, outputs: Sequence[str]) -> tuple[tuple[Wanted, ...], dict[str, Any]]:
    """The outputs that are asked for, and those of the request's parameters that are the task's. Raises BadRequest."""
    own: dict[str, Any] = dict(request.parameters)
    binary = _flag(own.pop("binary_data_output", False), "binary_data_output")
    for name in ("content_type", "task", *QUEUE):
        own.pop(name, None)
    for name in own:
        if name in RESERVED or name.startswith("triton_"):
            raise BadRequest(f"The parameter {told(name)} is Triton's own, and does not exist here")
    if not request.outputs:
        return tuple(Wanted(name, binary) for name in outputs), own
    names = [output.name for output in request.outputs]
    for name in names:
        if name not in outputs:
            raise BadRequest(f"There is no output {told(name)}; there are: {', '.join(outputs)}")
        if names.count(name) > 1:
            raise BadRequest(f"Output {told(name)} is asked for twice")
    return tuple(_one(output, binary) for output in request.outputs), own


def _one(output: Output, binary: bool) -> Wanted:
    unknown = sorted(output.parameters.keys() - {"binary_data", "classification", "content_type"})
    if unknown:
        raise BadRequest(f"Output {told(output.name)}: the parameter {told(unknown[0])} is not supported here")
    classes = output.parameters.get("classification", 0)
    if type(classes) is not int or classes < 0:
        raise BadRequest(f"Output {told(output.name)}: `classification` is how many classes are wanted")
    return Wanted(output.name, _flag(output.parameters.get("binary_data", binary), "binary_data"), classes)


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"`{name}` must be true or false")
    return value


def feed(tensor: Tensor) -> Array:
    """As ONNX Runtime takes it: strings where the wire has bytes. Raises BadRequest."""
    if tensor.datatype != "BYTES":
        return tensor.array
    try:
        texts = [element.decode() for element in tensor.array.ravel().tolist()]
    except UnicodeDecodeError:
        raise BadRequest("The graph takes texts, in UTF-8") from None
    return np.array(texts, object).reshape(tensor.array.shape)
