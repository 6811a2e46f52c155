"""From outputs to a body: JSON, with bytes behind it where they are asked for, packed if the client likes."""

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
from hearth.ops.activations import best
from hearth.protocols.base import JSON, Answer
from hearth.protocols.open_inference.request import Asked, Wanted
from hearth.protocols.open_inference.schema import LENGTH, Parameters, Produced, Response
from hearth.protocols.open_inference.tensors import Array, bytes_array, to_bytes, to_json

BINARY = "application/octet-stream"
PACK = {"gzip": 31, "deflate": 15}
"""Window bits of zlib."""
WORTH = 1024
"""Bytes from which packing pays."""


@dataclass(frozen=True)
class Made:
    """An output that can be had."""

    datatype: str
    array: Callable[[], Array]
    labels: Sequence[str] = ()
    """Of its last dimension."""


def write(asked: Asked, headers: Mapping[str, str], name: str, version: str, made: Mapping[str, Made]) -> Answer:
    """Raises BadRequest for what cannot be had in the form that is asked for."""
    outputs, parts = [], []
    for wanted in asked.outputs:
        output = made[wanted.name]
        datatype, array = output.datatype, output.array()
        if wanted.classes:
            datatype, array = "BYTES", _classes(wanted, output, array)
        parameters: Parameters = {}
        if wanted.binary:
            parts.append(to_bytes(datatype, array))
            parameters["binary_data_size"] = len(parts[-1])
        outputs.append(
            Produced(
                wanted.name,
                datatype,
                list(array.shape),
                parameters or UNSET,
                UNSET if wanted.binary else to_json(wanted.name, datatype, array),
            )
        )
    header = msgspec.json.encode(Response(name, version, asked.id or str(uuid.uuid4()), outputs))
    if parts:
        return packed(Answer(b"".join([header, *parts]), BINARY, {LENGTH: str(len(header))}), headers)
    return packed(Answer(header, JSON), headers)


def _classes(wanted: Wanted, output: Made, array: Array) -> Array:
    """The likeliest classes of each row, as `value:index:label`. Raises BadRequest."""
    if array.dtype.kind not in "fiu" or array.ndim == 0:
        raise BadRequest(f"Output {wanted.name!r} has no numbers to classify by")
    rows = array.reshape(len(array), math.prod(array.shape[1:])) if array.ndim > 1 else array[None]
    rows = rows.astype(float)
    labels = output.labels if len(output.labels) == rows.shape[1] else ()
    found = []
    for row in rows:
        for index in best(row, wanted.classes):
            label = f":{labels[index]}" if labels else ""
            found.append(f"{float(row[index]):f}:{index}{label}".encode())
    count = min(wanted.classes, rows.shape[1])
    return bytes_array(found, (len(rows), count) if array.ndim > 1 else (count,))


def packed(answer: Answer, headers: Mapping[str, str]) -> Answer:
    """Compressed, if the client takes that and it pays."""
    body = answer.body
    assert isinstance(body, bytes)  # noqa: S101
    accepted = _accepted(headers.get("accept-encoding", ""))
    encoding = next((name for name in PACK if name in accepted), None)
    if encoding is None or len(body) < WORTH:
        return answer
    pack = zlib.compressobj(level=1, wbits=PACK[encoding])
    more = {"Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    return Answer(pack.compress(body) + pack.flush(), answer.media, {**answer.headers, **more})


def _accepted(header: str) -> set[str]:
    """The encodings that a client takes, those with weight 0 left out."""
    parts = (re.fullmatch(r"\s*([\w*-]+)\s*(?:;\s*q=([\d.]+)\s*)?", part) for part in header.lower().split(","))
    return {part[1] for part in parts if part and (part[2] or "1").strip("0.")}
