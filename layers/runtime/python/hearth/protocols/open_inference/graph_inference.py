"""POST …/infer of a bare graph."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.models.heads import Decoder
from hearth.models.manifest import Graph, Manifest, Tensor
from hearth.models.model import Model
from hearth.models.registry import Ref
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.request import InputTensor, ParsedRequest, parse, split_body, to_feed
from hearth.protocols.open_inference.response import AvailableOutput, encode_response
from hearth.protocols.open_inference.signatures import graph_signature
from hearth.protocols.open_inference.target import Target
from hearth.protocols.open_inference.tensors import DATATYPES, Array, bytes_array
from hearth.strict_json import safe_name
from hearth.tasks import memory_budget
from hearth.tasks.graph import check_names, check_shapes, count_items, from_json, run, to_json_text
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
        arrays = _run(model, feeds, role)
    if target.resolved.shadow:
        _submit_to_shadow(request, target, manifest, feeds, arrays)
    usage = Usage(items=count_items(feeds))
    with step("write"):
        available = {
            tensor.name: AvailableOutput(DATATYPES[tensor.dtype], lambda array=array: array, manifest.labels)  # type: ignore[misc]
            for tensor, array in zip(graph.outputs, map(to_array, graph.outputs, arrays), strict=True)
        }
        return encode_response(parsed, request.headers, target.shown_name, manifest.version, available, usage)


def _run(model: Model[Any, Any], feeds: dict[str, Any], role: str) -> list[Any]:
    """Run a graph when there is memory for it. Raises BadRequest, TooManyRequests, DeadlineExceeded."""
    graph_of(model.manifest, role)
    budget = memory_budget.get()
    with budget.reserve(estimate_tensors(model, feeds)) if budget else nullcontext():
        return run(model, feeds, role)


def _submit_to_shadow(
    request: Request, target: Target, manifest: Manifest, feeds: dict[str, Any], arrays: list[Any]
) -> None:
    from hearth.tasks import shadow  # few aliases have one

    def as_document(outputs: list[Any]) -> list[Any]:
        return [output.tolist() if isinstance(output, np.ndarray) else output for output in outputs]

    shadow.submit(
        target.resolved,
        Ref(manifest.model, manifest.version),
        arrays,
        "tensors",
        lambda model: _run(model, feeds, target.role),
        sum(array.nbytes for array in feeds.values() if isinstance(array, np.ndarray)),
        request.request_id,
        as_document,
    )


def to_array(tensor: Tensor, value: Any) -> Array:
    """Convert an output: texts to BYTES, and sequences and maps to one text of JSON. Raises BadRequest."""
    if tensor.dtype == "json":
        return bytes_array([to_json_text(value).encode()])
    array: Array = value
    if array.dtype.kind not in "OU":
        return array
    return bytes_array([str(element).encode() for element in array.ravel().tolist()], array.shape)


def check_feeds(manifest: Manifest, role: str, parsed: ParsedRequest) -> dict[str, Any]:
    """Check the inputs and return the graph's feeds. Raises BadRequest, PayloadTooLarge."""
    graph = graph_of(manifest, role)
    check_names(graph, parsed.tensors)
    feeds = {}
    for expected in graph.inputs:
        tensor = parsed.tensors[expected.name]
        if tensor.datatype != DATATYPES[expected.dtype]:
            raise BadRequest(f"Input {expected.name!r} is {DATATYPES[expected.dtype]}, not {tensor.datatype}")
        feeds[expected.name] = to_value(expected, tensor) if expected.dtype == "json" else to_feed(tensor)
    check_shapes(manifest, graph, feeds)
    if isinstance(manifest.head, Decoder):
        _check_cache(feeds)
    return feeds


def to_value(expected: Tensor, tensor: InputTensor) -> Any:
    """A sequence or a map from its JSON text. Raises BadRequest."""
    texts = to_feed(tensor).ravel().tolist()
    if len(texts) != 1:
        raise BadRequest(f"Input {expected.name!r} must be one text of JSON")
    return from_json(expected, strict_json.loads(texts[0].encode()))


def graph_of(manifest: Manifest, role: str) -> Graph:
    if role not in manifest.graphs:
        raise BadRequest(f"Version {manifest.version} of {manifest.model} has no graph {role}")
    return manifest.graphs[role]


def _check_cache(feeds: dict[str, Any]) -> None:
    """Check that the positions at which a language model writes are within its cache. Raises BadRequest."""
    new, total = feeds["input_ids"].shape[1], int(feeds["total"][0])
    capacity = next(array.shape[2] for name, array in feeds.items() if name.startswith("past"))
    if not new <= total <= capacity:
        raise BadRequest(
            f"`total` is {total}; it must count all tokens in the cache, the {new} new ones included, and be at most "
            f"the cache's capacity (dimension 2 of past.*), {capacity}"
        )
