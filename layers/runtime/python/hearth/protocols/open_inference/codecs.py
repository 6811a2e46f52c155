"""Codecs between tasks and tensors: BYTES inputs, responses as JSON texts, and typed outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Manifest
from hearth.models.preprocessing import Column, TablePreprocessing
from hearth.protocols.open_inference.request import InputTensor, decode_base64
from hearth.protocols.open_inference.schema import TensorMetadata
from hearth.protocols.open_inference.tensors import DATATYPES, Array, bytes_array
from hearth.strict_json import safe_name
from hearth.task_table import TaskRow


class JsonCodec:
    """Base of codecs: a task takes a list of texts or files, and returns as many items, which are encoded only as
    JSON."""

    def __init__(self, row: TaskRow) -> None:
        self.inputs: tuple[str, ...] = (row.input,)
        self.binary = row.binary
        """Whether the inputs are files rather than texts."""

    def input_tensors(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        """The metadata of the inputs."""
        return tuple(TensorMetadata(name, "BYTES", (-1,)) for name in self.inputs)

    def read(self, manifest: Manifest, tensors: Mapping[str, InputTensor]) -> dict[str, list[Any]]:
        """The items of each input. Raises BadRequest."""
        return read_columns(self.inputs, tensors, lambda name, tensor: read_items(name, tensor, binary=self.binary))

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The task's requests for all items; `columns` has a list for each input."""
        return [{"inputs": columns[self.inputs[0]], "parameters": parameters}]

    def with_all_scores(self, request: Any, manifest: Manifest) -> Any:
        """The request changed so that the response has all values for the typed outputs."""
        return request

    def items(self, request: Any, response: Any) -> list[Any]:
        """The items of a response."""
        return list(response)

    def as_requested(self, request: Any, rows: list[Any]) -> list[Any]:
        """The part of the items of `with_all_scores` that the caller requested."""
        return rows

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        """The metadata of the typed outputs."""
        return ()

    def labels(self, manifest: Manifest, request: Any) -> Sequence[str]:
        """Labels for the classification extension."""
        return manifest.labels

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        """A typed output for all items."""
        raise NotImplementedError


class ScoresCodec(JsonCodec):
    """For classifiers: a score for each label, in the order of the manifest."""

    def with_all_scores(self, request: Any, manifest: Manifest) -> Any:
        parameters = msgspec.structs.replace(request.parameters, top_k=len(manifest.labels))
        return msgspec.structs.replace(request, parameters=parameters)

    def as_requested(self, request: Any, rows: list[Any]) -> list[Any]:
        return [row[: request.parameters.top_k] for row in rows]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("scores", "FP32", (-1, len(manifest.labels))),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        scores = [{score.label: score.score for score in row} for row in rows]
        return np.array([[row[label] for label in labels] for row in scores], np.float32)


class CandidateScoresCodec(ScoresCodec):
    """For zero-shot classifiers: a score for each label, in the order of the request."""

    def with_all_scores(self, request: Any, manifest: Manifest) -> Any:
        return request

    def as_requested(self, request: Any, rows: list[Any]) -> list[Any]:
        return rows

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("scores", "FP32", (-1, -1)),)

    def labels(self, manifest: Manifest, request: Any) -> Sequence[str]:
        candidates = request.parameters.candidate_labels
        return [label.strip() for label in candidates.split(",")] if isinstance(candidates, str) else candidates


class AnswersCodec(JsonCodec):
    def __init__(self, row: TaskRow) -> None:
        super().__init__(row)
        self.inputs = ("question", "context")

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        pairs = zip(columns["question"], columns["context"], strict=True)
        inputs = [{"question": question, "context": context} for question, context in pairs]
        return [{"inputs": inputs, "parameters": parameters}]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        names = {"answer": "BYTES", "score": "FP32", "start": "INT64", "end": "INT64"}
        return tuple(TensorMetadata(name, datatype, (-1,)) for name, datatype in names.items())

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        values = [
            getattr(row[0] if isinstance(row, list) else row, name) for row in rows
        ]  # the best answer of each item
        if name == "answer":
            return text_array(values)
        return np.array(values, np.float32 if name == "score" else np.int64)


class VectorsCodec(JsonCodec):
    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("embedding", "FP32", (-1, getattr(manifest.head, "dimensions", -1))),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array(rows, np.float32)


class SimilaritiesCodec(JsonCodec):
    """For sentence similarity of each text with the parameter `source_sentence`."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        remaining = dict(parameters)
        inputs = {"sentences": columns["text"]}
        if "source_sentence" in remaining:  # otherwise the task's request reports the missing field
            inputs["source_sentence"] = remaining.pop("source_sentence")
        return [{"inputs": inputs, "parameters": remaining}]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("scores", "FP32", (-1,)),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array(rows, np.float32)


class RankingsCodec(JsonCodec):
    """For the ranking of each text by the parameter `query`: a score for each text, in the order of the texts."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        remaining = dict(parameters)
        inputs = {"texts": columns["text"]}
        if "query" in remaining:  # otherwise the task's request reports the missing field
            inputs["query"] = remaining.pop("query")
        return [{"inputs": inputs, "parameters": remaining}]

    def with_all_scores(self, request: Any, manifest: Manifest) -> Any:
        parameters = msgspec.structs.replace(request.parameters, top_n=None)
        return msgspec.structs.replace(request, parameters=parameters)

    def items(self, request: Any, response: Any) -> list[Any]:
        return sorted(response, key=lambda item: item.index)

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("scores", "FP32", (-1,)),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array([row.score for row in rows], np.float32)


class SingleItemCodec(JsonCodec):
    """For tasks with one text or file per request."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"inputs": item, "parameters": parameters} for item in columns[self.inputs[0]]]

    def items(self, request: Any, response: Any) -> list[Any]:
        return [response]


class TextsCodec(JsonCodec):
    """For texts: the field `field` of each item is the typed output `output`."""

    output = field = "translation_text"

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata(self.output, "BYTES", (-1,)),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return text_array([getattr(row, self.field) for row in rows])


class SummariesCodec(TextsCodec):
    output = field = "summary_text"


class WrittenTextsCodec(TextsCodec):
    output = field = "generated_text"


class GeneratedTextsCodec(TextsCodec, SingleItemCodec):
    output = field = "generated_text"

    def items(self, request: Any, response: Any) -> list[Any]:
        return list(response)


class TranscriptsCodec(TextsCodec, SingleItemCodec):
    output, field = "transcript", "text"


class TableCodec(JsonCodec):
    """A tensor for each column of a table, (rows) or (rows, 1), of numbers or texts."""

    def input_tensors(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        types = {tensor.name: DATATYPES[tensor.dtype] for tensor in manifest.graphs["main"].inputs}
        return tuple(TensorMetadata(column.name, types[column.input], (-1,)) for column in columns_of(manifest))

    def read(self, manifest: Manifest, tensors: Mapping[str, InputTensor]) -> dict[str, list[Any]]:
        return read_columns([column.name for column in columns_of(manifest)], tensors, read_values)

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"inputs": {"data": dict(columns)}, "parameters": parameters}]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        return (TensorMetadata("prediction", "FP64", (-1, -1)),)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array([row if isinstance(row, list) else [row] for row in rows], np.float64)


class TableScoresCodec(TableCodec):
    def with_all_scores(self, request: Any, manifest: Manifest) -> Any:
        parameters = msgspec.structs.replace(request.parameters, top_k=len(manifest.labels))
        return msgspec.structs.replace(request, parameters=parameters)

    def as_requested(self, request: Any, rows: list[Any]) -> list[Any]:
        count = request.parameters.top_k
        return [row[0].label if count is None else row[:count] for row in rows]

    def outputs(self, manifest: Manifest) -> tuple[TensorMetadata, ...]:
        scores = TensorMetadata("scores", "FP32", (-1, len(manifest.labels)))
        return (TensorMetadata("label", "BYTES", (-1,)), scores)

    def to_array(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        if name == "label":
            return text_array([row[0].label for row in rows])
        scores = [{score.label: score.score for score in row} for row in rows]
        return np.array([[row[label] for label in labels] for row in scores], np.float32)


def columns_of(manifest: Manifest) -> tuple[Column, ...]:
    preprocessing = manifest.preprocessing
    return preprocessing.columns if isinstance(preprocessing, TablePreprocessing) else ()


def read_columns(
    names: Sequence[str],
    tensors: Mapping[str, InputTensor],
    read: Callable[[str, InputTensor], list[Any]],
) -> dict[str, list[Any]]:
    """The items of each input. Raises BadRequest."""
    for name in tensors:
        if name not in names:
            raise BadRequest(f"There is no input {safe_name(name)}; the inputs are: {', '.join(names)}")
    columns = {}
    for name in names:
        if name not in tensors:
            raise BadRequest(f"The input {name!r} is missing; send a tensor with one element per item")
        columns[name] = read(name, tensors[name])
    counts = {name: len(items) for name, items in columns.items()}
    if len(set(counts.values())) > 1:
        raise BadRequest(f"All inputs must have the same number of elements, not {counts}")
    return columns


def read_items(name: str, tensor: InputTensor, *, binary: bool) -> list[Any]:
    """Decode texts or files; files in JSON are base64. Raises BadRequest."""
    if tensor.datatype != "BYTES":
        raise BadRequest(
            f"Input {name!r} must be BYTES of shape [n] or [n, 1], not {tensor.datatype} {list(tensor.array.shape)}"
        )
    elements: list[bytes] = read_elements(name, tensor)
    if not binary:
        return decode_texts(name, elements)
    if tensor.content_type == "str":
        raise BadRequest(f"Input {name!r} is a file, not a text; send binary data, or base64 in JSON")
    if tensor.binary or tensor.content_type == "base64":
        return elements
    return decode_base64(name, tensor.array).ravel().tolist()


def read_values(name: str, tensor: InputTensor) -> list[Any]:
    """The numbers or texts of a column; NaN is a missing value. Raises BadRequest."""
    elements = read_elements(name, tensor)
    if tensor.datatype == "BYTES":
        return decode_texts(name, elements)
    return [None if element != element else element for element in elements]


def read_elements(name: str, tensor: InputTensor) -> list[Any]:
    """The elements of a tensor [n] or [n, 1]. Raises BadRequest."""
    shape = tensor.array.shape
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        raise BadRequest(
            f"Input {name!r} must be {tensor.datatype} of shape [n] or [n, 1], not {tensor.datatype} {list(shape)}"
        )
    if not tensor.array.size:
        raise BadRequest(f"Input {name!r} is empty; send at least one element")
    return tensor.array.ravel().tolist()


def decode_texts(name: str, elements: list[bytes]) -> list[str]:
    try:
        return [element.decode() for element in elements]
    except UnicodeDecodeError:
        raise BadRequest(f"Input {name!r} must be text in UTF-8") from None


def text_array(values: Sequence[str]) -> Array:
    return bytes_array([value.encode() for value in values])


def check_batch(manifest: Manifest, items: int) -> None:
    """Raise PayloadTooLarge for more items than the manifest allows."""
    if items > manifest.limits.batch:
        raise PayloadTooLarge(f"The request has {items} items; {manifest.limits.batch} are allowed")
