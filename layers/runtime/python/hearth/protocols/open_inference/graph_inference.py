"""POST …/infer of a bare graph: tensors are checked against the manifest before ONNX Runtime gets them."""

from __future__ import annotations

import re
from contextlib import nullcontext
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
from hearth.tasks import memory_budget
from hearth.tasks.task import Usage
from hearth.tasks.work_memory import estimate_tensors
from hearth.telemetry.timing import step


def infer(request: Request, target: Target) -> Response:
    # Only a function that serves the model's task loads it.
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
    """Run the graph. Raises BadRequest if it fails for these values although types and shapes are right."""
    budget = memory_budget.get()
    reservation = budget.reserve(estimate_tensors(model, feeds)) if budget else nullcontext()
    try:
        with np.errstate(all="ignore"), reservation:
            return model.run(feeds, role)
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).rpartition("Status Message: ")[2].splitlines()[0]
        reason = re.sub(r"-?\d+(\.\d+)?", "…", reason[:200])  # numbers may be the caller's
        raise BadRequest(f"The graph cannot compute with these values: {reason}") from None


def strings_to_bytes(array: Array) -> Array:
    """Convert an array of texts to BYTES."""
    if array.dtype.kind not in "OU":
        return array
    return bytes_array([str(element).encode() for element in array.ravel().tolist()], array.shape)


def check_feeds(manifest: Manifest, role: str, parsed: ParsedRequest) -> dict[str, Array]:
    """Check the inputs and return the graph's feeds. Raises BadRequest, PayloadTooLarge."""
    graph, sizes = graph_of(manifest, role), dict[str, int]()
    names = [tensor.name for tensor in graph.inputs]
    for name in parsed.tensors:
        if name not in names:
            raise BadRequest(f"There is no input {safe_name(name)}; the inputs are: {', '.join(names)}")
    feeds = {}
    for expected in graph.inputs:
        if expected.name not in parsed.tensors:
            raise BadRequest(f"The input {expected.name!r} is missing; the inputs are: {', '.join(names)}")
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
    """Check a shape. `sizes` has the sizes of dynamic dimensions by name, which must be equal in all inputs."""
    dimensions = ", ".join(map(str, expected.shape))
    if len(shape) != len(expected.shape):
        raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
    for size, dimension in zip(shape, expected.shape, strict=True):
        if isinstance(dimension, int):
            if size != dimension:
                raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
            continue
        if sizes.setdefault(dimension, size) != size:
            raise BadRequest(
                f"Input {expected.name!r}: its {dimension} is {size}, but {sizes[dimension]} in another input"
            )
        # A decoder's cache is empty before the first step; other empty dimensions cause divisions by zero.
        if size == 0 and not expected.name.startswith("past"):
            raise BadRequest(f"Input {expected.name!r}: its {dimension} is 0; it must be at least 1")
        if size > (maximum := max_size(manifest, dimension)):
            raise PayloadTooLarge(f"Input {expected.name!r}: its {dimension} is {size}; at most {maximum} is allowed")


def max_size(manifest: Manifest, dimension: str) -> int:
    """The largest size of a dimension that the task itself uses."""
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
    """Check that the positions at which a language model writes are within its cache. Raises BadRequest."""
    new, total = feeds["input_ids"].shape[1], int(feeds["total"][0])
    capacity = next(array.shape[2] for name, array in feeds.items() if name.startswith("past"))
    if not new <= total <= capacity:
        raise BadRequest(
            f"`total` is {total}; it must count all tokens in the cache, the {new} new ones included, and be at most "
            f"the cache's capacity (dimension 2 of past.*), {capacity}"
        )
