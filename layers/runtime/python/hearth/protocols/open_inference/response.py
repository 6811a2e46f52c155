"""Encodes outputs to a body: JSON, followed by binary data if requested, compressed if the client accepts it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from hearth.errors import BadRequest
from hearth.ops.activations import top_indices
from hearth.protocols.base import BINARY, JSON, Response
from hearth.protocols.compression import compress
from hearth.protocols.open_inference.request import ParsedRequest, RequestedOutput
from hearth.protocols.open_inference.schema import HEADER_LENGTH, InferenceResponse, Parameters, ResponseOutput
from hearth.protocols.open_inference.tensors import Array, bytes_array, to_bytes, to_json
from hearth.tasks.task import Usage


@dataclass(frozen=True)
class AvailableOutput:
    datatype: str
    array: Callable[[], Array]
    labels: Sequence[str] = ()
    """Labels of its last dimension."""


def encode_response(
    parsed: ParsedRequest,
    headers: Mapping[str, str],
    name: str,
    version: str,
    available: Mapping[str, AvailableOutput],
    usage: Usage,
) -> Response:
    """Encode the outputs that `parsed` requests. Raises BadRequest for an output that cannot be encoded as
    requested."""
    outputs, parts = [], []
    for requested in parsed.outputs:
        output = available[requested.name]
        datatype, array = output.datatype, output.array()
        if requested.classes:
            datatype, array = "BYTES", _classes(requested, output, array)
        parameters: Parameters = {}
        if requested.binary:
            parts.append(to_bytes(datatype, array))
            parameters["binary_data_size"] = len(parts[-1])
        outputs.append(
            ResponseOutput(
                requested.name,
                datatype,
                list(array.shape),
                parameters or UNSET,
                UNSET if requested.binary else to_json(requested.name, datatype, array),
            )
        )
    document = msgspec.json.encode(InferenceResponse(name, version, parsed.id or str(uuid.uuid4()), outputs))
    if not parts:
        body, encoding = compress(document, headers)
        return Response(body, JSON, encoding, usage=usage)
    body, encoding = compress(b"".join([document, *parts]), headers)
    return Response(body, BINARY, {HEADER_LENGTH: str(len(document)), **encoding}, usage=usage)


def _classes(requested: RequestedOutput, output: AvailableOutput, array: Array) -> Array:
    """The likeliest classes of each row, as `value:index:label`. Raises BadRequest."""
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise BadRequest(f"Output {requested.name!r} has no numbers for a classification")
    rows = array.reshape(len(array), math.prod(array.shape[1:])) if array.ndim > 1 else array[None]
    rows = rows.astype(float)
    labels = output.labels if len(output.labels) == rows.shape[1] else ()
    elements = []
    for row in rows:
        for index in top_indices(row, requested.classes):
            label = f":{labels[index]}" if labels else ""
            elements.append(f"{float(row[index]):f}:{index}{label}".encode())
    count = min(requested.classes, rows.shape[1])
    return bytes_array(elements, (len(rows), count) if array.ndim > 1 else (count,))
