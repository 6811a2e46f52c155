"""Runs a bare graph with tensors that are checked against the manifest before ONNX Runtime gets them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.heads import Decoder, Seq2Seq
from hearth.models.manifest import ANY_SHAPE, Graph, Manifest, Tensor
from hearth.models.model import Model
from hearth.models.preprocessing import AudioPreprocessing, ImagePreprocessing, TextPreprocessing
from hearth.strict_json import safe_name

Array = np.ndarray[Any, Any]


def check_names(graph: Graph, inputs: Mapping[str, Any]) -> None:
    """Check that the inputs are those of the graph. Raises BadRequest."""
    names = [tensor.name for tensor in graph.inputs]
    listed = ", ".join(names) or "none"
    for name in inputs:
        if name not in names:
            raise BadRequest(f"There is no input {safe_name(name)}; the inputs are: {listed}")
    for name in names:
        if name not in inputs:
            raise BadRequest(f"The input {name!r} is missing; the inputs are: {listed}")


def check_shapes(manifest: Manifest, graph: Graph, feeds: Mapping[str, Array]) -> None:
    """Check the shapes of all inputs. Raises BadRequest, PayloadTooLarge."""
    sizes: dict[str, int] = {}
    for tensor in graph.inputs:
        if tensor.dtype != "json":
            _check_shape(manifest, tensor, feeds[tensor.name].shape, sizes)


def run(model: Model[Any, Any], feeds: dict[str, Any], role: str = "main") -> list[Any]:
    """Run the graph. Raises BadRequest if it fails for these values although types and shapes are right."""
    try:
        with np.errstate(all="ignore"):
            return model.run(feeds, role)
    except Exception as error:
        if isinstance(error, (RuntimeError, ValueError, TypeError)) or type(error).__module__.startswith("onnxruntime"):
            raise BadRequest(f"The graph cannot compute with these values: {_reason(error)}") from None
        raise


def _reason(error: Exception) -> str:
    lines = str(error).rpartition("Status Message: ")[2].splitlines() or [type(error).__name__]
    return re.sub(r"-?\d+(\.\d+)?", "…", lines[0][:200])  # numbers may be the caller's


def count_items(feeds: Mapping[str, Any]) -> int:
    """The length of the first input."""
    first: Any = next(iter(feeds.values()), ())
    return max(len(first), 1) if isinstance(first, list) or np.ndim(first) else 1


def from_json(tensor: Tensor, document: Any) -> Any:
    """A sequence or a map of ONNX from JSON. Raises BadRequest.

    A sequence of tensors is a list of nested lists; a map is an object, whose keys may be numbers as texts.
    """
    kind = re.sub(r"^optional\((.*)\)$", r"\1", tensor.onnx_type)
    try:
        if kind != tensor.onnx_type and document is None:
            return None
        return _value(kind, document)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise BadRequest(f"Input {tensor.name!r} must be JSON of the type {tensor.onnx_type}") from None


def _value(kind: str, document: Any) -> Any:
    """A value of the type `kind`. Raises ValueError, TypeError, AttributeError, OverflowError."""
    if match := re.fullmatch(r"seq\((.*)\)", kind):
        if not isinstance(document, list):
            raise TypeError
        return [_value(match[1], item) for item in document]
    if match := re.fullmatch(r"map\((\w+),tensor\((\w+)\)\)", kind):
        key = int if match[1] == "int64" else str
        kinds: dict[str, type] = {"int64": int, "string": str}
        return {key(name): kinds.get(match[2], float)(item) for name, item in document.items()}
    match = re.fullmatch(r"tensor\((\w+)\)", kind)
    if match is None:
        raise TypeError
    dtype = {"float": "float32", "double": "float64", "string": "object"}.get(match[1], match[1])
    return np.array(document, dtype)


def to_json(value: Any) -> Any:
    """A sequence or a map of ONNX as JSON has it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def to_json_text(value: Any) -> str:
    """As `to_json`, as a text. Raises BadRequest for values that JSON does not support."""
    try:
        return json.dumps(to_json(value), ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise BadRequest("An output has NaN or infinity, which JSON does not support") from None


def _check_shape(manifest: Manifest, expected: Tensor, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    """Check a shape. `sizes` has the sizes of dynamic dimensions by name, which must be equal in all inputs."""
    if expected.shape == ANY_SHAPE:
        return
    dimensions = ", ".join(map(str, expected.shape))
    if len(shape) != len(expected.shape):
        raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
    for size, dimension in zip(shape, expected.shape, strict=True):
        if isinstance(dimension, int):
            if size != dimension:
                raise BadRequest(f"Input {expected.name!r} has the shape [{dimensions}], not {list(shape)}")
            continue
        # ONNX Runtime itself does not compare dimensions of the same name, and exporters give names carelessly.
        if manifest.preprocessing is not None and sizes.setdefault(dimension, size) != size:
            raise BadRequest(
                f"Input {expected.name!r}: its {dimension} is {size}, but {sizes[dimension]} in another input"
            )
        # A decoder's cache is empty before the first step; other empty dimensions cause divisions by zero.
        if size == 0 and not expected.name.startswith("past"):
            raise BadRequest(f"Input {expected.name!r}: its {dimension} is 0; it must be at least 1")
        if size > (maximum := max_size(manifest, dimension)):
            raise PayloadTooLarge(f"Input {expected.name!r}: its {dimension} is {size}; at most {maximum} is allowed")


def max_size(manifest: Manifest, dimension: str) -> float:
    """The largest size of a dimension that the task itself uses; infinity for a graph without a task."""
    preprocessing, head, batch = manifest.preprocessing, manifest.head, manifest.limits.batch
    if dimension == "batch" and preprocessing is not None:
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
    if not isinstance(preprocessing, TextPreprocessing):
        return math.inf  # the body's size is limited
    return max(preprocessing.max_tokens, head.max_new if isinstance(head, Seq2Seq) else 0)
