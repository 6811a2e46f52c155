"""Encodes outputs to a body: JSON, followed by binary data if requested, compressed if the client accepts it."""

from __future__ import annotations

import math
import re
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from hearth.errors import BadRequest
from hearth.ops.activations import top_indices
from hearth.protocols.base import BINARY, JSON, Response
from hearth.protocols.open_inference.request import ParsedRequest, RequestedOutput
from hearth.protocols.open_inference.schema import HEADER_LENGTH, InferenceResponse, Parameters, ResponseOutput
from hearth.protocols.open_inference.tensors import Array, bytes_array, to_bytes, to_json
from hearth.tasks.task import Usage

COMPRESSION_BITS = {"gzip": 31, "deflate": 15}
"""Content-Encoding -> zlib's window bits."""
MIN_COMPRESSED_BYTES = 1024
"""Smallest size of a body that is compressed."""


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
        return _compressed(document, JSON, {}, headers, usage)
    return _compressed(b"".join([document, *parts]), BINARY, {HEADER_LENGTH: str(len(document))}, headers, usage)


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


def _compressed(
    body: bytes,
    media_type: str,
    response_headers: Mapping[str, str],
    request_headers: Mapping[str, str],
    usage: Usage,
) -> Response:
    """The response, compressed if it is large enough and the client accepts it."""
    accepted = _accepted_encodings(request_headers.get("accept-encoding", ""))
    encoding = next((name for name in COMPRESSION_BITS if name in accepted), None)
    if encoding is None or len(body) < MIN_COMPRESSED_BYTES:
        return Response(body, media_type, response_headers, usage=usage)
    compressor = zlib.compressobj(level=1, wbits=COMPRESSION_BITS[encoding])
    response_headers = {**response_headers, "Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    return Response(compressor.compress(body) + compressor.flush(), media_type, response_headers, usage=usage)


def _accepted_encodings(header: str) -> set[str]:
    """The encodings that a client accepts, without those of weight 0."""
    matches = (re.fullmatch(r"\s*([\w*-]+)\s*(?:;\s*q=([\d.]+)\s*)?", item) for item in header.lower().split(","))
    return {match[1] for match in matches if match and (match[2] or "1").strip("0.")}
