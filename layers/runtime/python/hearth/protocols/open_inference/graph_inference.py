"""POST …/infer of a bare graph: the tensors of its manifest, checked before ONNX Runtime sees them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import (
    AudioPreprocessing,
    Decoder,
    Graph,
    ImagePreprocessing,
    Manifest,
    Seq2Seq,
    Tensor,
)
from hearth.models.model import Model
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.request import ParsedRequest, parse, split_body, to_feed
from hearth.protocols.open_inference.response import AvailableOutput, encode_response
from hearth.protocols.open_inference.signatures import graph_signature
from hearth.protocols.open_inference.target import Target
from hearth.protocols.open_inference.tensors import DATATYPES, Array, bytes_array
from hearth.strict_json import safe_name
from hearth.tasks.task import Usage
from hearth.telemetry.timing import step


def infer(request: Request, target: Target) -> Response:
    # The function that has the model's task loads it, and no other.
    _, model = request.open_model(target.resolved)
    manifest, role = model.manifest, target.role
    graph = graph_of(manifest, role)
    with step("read"):
        inputs, outputs = graph_signature(manifest, role)
        parsed = parse(split_body(request.body, request.headers), inputs, [output.name for output in outputs])
        if parsed.parameters:
            raise BadRequest(f"A bare graph has no parameter {safe_name(next(iter(parsed.parameters)))}")
        feeds = check_feeds(manifest, role, parsed)
    with step("run"):
        arrays = run(model, feeds, role)
    first = next(iter(feeds.values()), None)
    usage = Usage(items=max(first.shape[0], 1) if first is not None and first.ndim else 1)
    with step("write"):
        available = {
            tensor.name: AvailableOutput(DATATYPES[tensor.dtype], lambda array=array: array, manifest.labels)  # type: ignore[misc]
            for tensor, array in zip(graph.outputs, map(strings_to_bytes, arrays), strict=True)
        }
        return encode_response(parsed, request.headers, target.shown_name, manifest.version, available, usage)


def run(model: Model[Any, Any], feeds: dict[str, Array], role: str) -> list[Array]:
    """Raises BadRequest where the graph refuses the values although their types and shapes are right."""
    try:
        with np.errstate(all="ignore"):
            return model.run(feeds, role)
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).rpartition("Status Message: ")[2].splitlines()[0]
        reason = re.sub(r"-?\d+(\.\d+)?", "…", reason[:200])  # numbers may be the caller's own
        raise BadRequest(f"The graph cannot compute with these values: {reason}") from None


def strings_to_bytes(array: Array) -> Array:
    """Texts as the protocol has them."""
    if array.dtype.kind not in "OU":
        return array
    return bytes_array([str(element).encode() for element in array.ravel().tolist()], array.shape)


def check_feeds(manifest: Manifest, role: str, parsed: ParsedRequest) -> dict[str, Array]:
    """The graph's feeds. Raises BadRequest, PayloadTooLarge."""
    graph, sizes = graph_of(manifest, role), dict[str, int]()
    names = [tensor.name for tensor in graph.inputs]
    for name in parsed.tensors:
        if name not in names:
            raise BadRequest(f"There is no input {safe_name(name)}; there are: {', '.join(names)}")
    feeds = {}
    for expected in graph.inputs:
        if expected.name not in parsed.tensors:
            raise BadRequest(f"The input {expected.name!r} is missing; there are: {', '.join(names)}")
        tensor = parsed.tensors[expected.name]
        if tensor.datatype != DATATYPES[expected.dtype]:
            raise BadRequest(f"Input {expected.name!r} is {DATATYPES[expected.dtype]}, not {tensor.datatype}")
        _check_shape(manifest, expected, tensor.array.shape, sizes)
        feeds[expected.name] = to_feed(tensor)
    if isinstance(manifest.head, Decoder):
        _check_cache(feeds)
    return feeds


def graph_of(manifest: Manifest, role: str) -> Graph:
    if role not in manifest.graphs:
        raise BadRequest(f"Version {manifest.version} of {manifest.model} has no graph {role}")
    return manifest.graphs[role]


def _check_shape(manifest: Manifest, expected: Tensor, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """`sizes` has the dimensions that vary, as far as they are known; those of one name are equal."""
    dimensions = ", ".join(map(str, expected.shape))
    if len(shape) != len(expected.shape):
        raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
    for size, dimension in zip(shape, expected.shape, strict=True):
        if isinstance(dimension, int):
            if size != dimension:
                raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
            continue
        if sizes.setdefault(dimension, size) != size:
            raise BadRequest(f"Input {expected.name!r}: its {dimension} is {size}, another input's {sizes[dimension]}")
        # A decoder's cache is empty before the first step; elsewhere an empty dimension is a division by zero.
        if size == 0 and not expected.name.startswith("past"):
            raise BadRequest(f"Input {expected.name!r}: its {dimension} is 0; it must be at least 1")
        if size > (maximum := max_size(manifest, dimension)):
            raise PayloadTooLarge(f"Input {expected.name!r}: its {dimension} is {size}; {maximum} is the most here")


def max_size(manifest: Manifest, dimension: str) -> int:
    """The most that the task itself would feed."""
    preprocessing, head, batch = manifest.preprocessing, manifest.head, manifest.limits.batch
    if dimension == "batch":
        return batch
    if dimension == "rows" and isinstance(head, Seq2Seq):  # beams of all texts
        return batch * head.beams
    if isinstance(preprocessing, ImagePreprocessing):
        return max(preprocessing.width, preprocessing.height)
    if isinstance(preprocessing, AudioPreprocessing):
        seconds = getattr(head, "chunk_seconds", 20.0)
        return int(seconds * preprocessing.rate) // preprocessing.hop + 1
    if isinstance(head, Decoder):
        return head.context
    return max(preprocessing.max_tokens, head.max_new if isinstance(head, Seq2Seq) else 0)


def _check_cache(feeds: dict[str, Any]) -> None:
    """A language model writes where its inputs say, which must be within its buffers. Raises BadRequest."""
    new, total = feeds["input_ids"].shape[1], int(feeds["total"][0])
    capacity = next(array.shape[2] for name, array in feeds.items() if name.startswith("past"))
    if not new <= total <= capacity:
        raise BadRequest(
            f"`total` is {total}: it counts the tokens that the cache holds with the {new} new ones, and the cache "
            f"(dimension 2 of past.*) has room for {capacity}"
        )
