"""POST …/infer of a bare graph: the tensors of its manifest, checked before ONNX Runtime sees them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.cache import warm
from hearth.models.manifest import AudioPreprocessing, Decoder, Graph, ImagePreprocessing, Manifest, Seq2Seq, Tensor
from hearth.models.model import Model
from hearth.protocols.base import Answer, Call
from hearth.protocols.open_inference.request import Asked, feed, open_body, read
from hearth.protocols.open_inference.response import Made, write
from hearth.protocols.open_inference.signatures import signature
from hearth.protocols.open_inference.target import Target
from hearth.protocols.open_inference.tensors import DATATYPES, Array, bytes_array
from hearth.strict_json import told
from hearth.telemetry import timing


def infer(call: Call, target: Target) -> Answer:
    call.task(target.name)  # the function that has the model's task loads it, and no other
    with timing.step("read"):
        inputs, outputs = signature(target.manifest, "", target.role)
        asked = read(open_body(call.body, call.headers), inputs, [spec.name for spec in outputs])
        if asked.parameters:
            name = next(iter(asked.parameters))
            raise BadRequest(f"A bare graph has no parameter {told(name)}")
        feeds = fitting(target.manifest, target.role, asked)
    with warm().get(target.name) as model:
        if model.manifest is not target.manifest:  # the alias's former version answers
            feeds = fitting(model.manifest, target.role, asked)
        with timing.step("run"):
            found = run(model, feeds, target.role)
        manifest = model.manifest
    timing.current().facts["items"] = max([1, *(array.shape[0] for array in list(feeds.values())[:1] if array.ndim)])
    with timing.step("write"):
        made = {
            tensor.name: Made(DATATYPES[tensor.dtype], lambda array=array: array, manifest.labels)  # type: ignore[misc]
            for tensor, array in zip(manifest.graphs[target.role].outputs, map(written, found), strict=True)
        }
        return write(asked, call.headers, target.shown, manifest.version, made)


def run(model: Model, feeds: dict[str, Array], role: str) -> list[Array]:
    """Raises BadRequest where the graph refuses the values: their types and shapes are what it asks for."""
    try:
        with np.errstate(all="ignore"):
            return model.run(feeds, role)
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        reason = str(error).rpartition("Status Message: ")[2].splitlines()[0]
        reason = re.sub(r"-?\d+(\.\d+)?", "…", reason[:200])  # which may be the caller's own
        raise BadRequest(f"The graph cannot compute with these values: {reason}") from None


def written(array: Array) -> Array:
    """Texts as the wire has them."""
    if array.dtype.kind not in "OU":
        return array
    return bytes_array([str(element).encode() for element in array.ravel().tolist()], array.shape)


def fitting(manifest: Manifest, role: str, asked: Asked) -> dict[str, Array]:
    """The graph's feeds. Raises BadRequest, PayloadTooLarge."""
    graph, sizes = graph_of(manifest, role), dict[str, int]()
    names = [tensor.name for tensor in graph.inputs]
    for name in asked.tensors:
        if name not in names:
            raise BadRequest(f"There is no input {told(name)}; there are: {', '.join(names)}")
    feeds = {}
    for spec in graph.inputs:
        if spec.name not in asked.tensors:
            raise BadRequest(f"The input {spec.name!r} is missing; there are: {', '.join(names)}")
        tensor = asked.tensors[spec.name]
        if tensor.datatype != DATATYPES[spec.dtype]:
            raise BadRequest(f"Input {spec.name!r} is {DATATYPES[spec.dtype]}, not {tensor.datatype}")
        _fit(manifest, spec, tensor.array.shape, sizes)
        feeds[spec.name] = feed(tensor)
    if isinstance(manifest.head, Decoder):
        _fit_cache(feeds)
    return feeds


def graph_of(manifest: Manifest, role: str) -> Graph:
    if role not in manifest.graphs:
        raise BadRequest(f"Version {manifest.version} of {manifest.model} has no graph {role}")
    return manifest.graphs[role]


def _fit(manifest: Manifest, spec: Tensor, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """`sizes`: of the dimensions that vary, so far; those of one name are equal."""
    wanted = ", ".join(map(str, spec.shape))
    if len(shape) != len(spec.shape):
        raise BadRequest(f"Input {spec.name!r} has the shape [{wanted}], not {list(shape)}")
    for have, want in zip(shape, spec.shape, strict=True):
        if isinstance(want, int):
            if have != want:
                raise BadRequest(f"Input {spec.name!r} has the shape [{wanted}], not {list(shape)}")
            continue
        if sizes.setdefault(want, have) != have:
            raise BadRequest(f"Input {spec.name!r}: its {want} is {have}, another input's {sizes[want]}")
        # Nothing before the first step of a decoder; elsewhere an empty dimension is a division by zero.
        if have == 0 and not spec.name.startswith("past"):
            raise BadRequest(f"Input {spec.name!r}: its {want} is 0; it must be at least 1")
        if have > (most := longest(manifest, want)):
            raise PayloadTooLarge(f"Input {spec.name!r}: its {want} is {have}; {most} is the most here")


def longest(manifest: Manifest, dimension: str) -> int:
    """What the pipeline itself would feed at most."""
    how, head, batch = manifest.preprocessing, manifest.head, manifest.limits.batch
    if dimension == "batch":
        return batch
    if dimension == "rows" and isinstance(head, Seq2Seq):  # beams of all texts
        return batch * head.beams
    if isinstance(how, ImagePreprocessing):
        return max(how.width, how.height)
    if isinstance(how, AudioPreprocessing):
        seconds = getattr(head, "chunk_seconds", 20.0)
        return int(seconds * how.rate) // how.hop + 1
    if isinstance(head, Decoder):
        return head.context
    return max(how.max_tokens, head.max_new if isinstance(head, Seq2Seq) else 0)


def _fit_cache(feeds: dict[str, Any]) -> None:
    """A language model writes where its inputs say: they must say a place within its buffers. Raises BadRequest."""
    new, total = feeds["input_ids"].shape[1], int(feeds["total"][0])
    capacity = next(array.shape[2] for name, array in feeds.items() if name.startswith("past"))
    if not new <= total <= capacity:
        raise BadRequest(
            f"`total` is {total}: it counts the tokens that the cache holds with the {new} new ones, and the cache "
            f"(dimension 2 of past.*) has room for {capacity}"
        )
