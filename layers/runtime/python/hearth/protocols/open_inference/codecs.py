"""Codecs between tasks and tensors: BYTES inputs, responses as JSON texts, and typed outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from hearth.errors import PayloadTooLarge
from hearth.models.manifest import Manifest, Pooling
from hearth.protocols.open_inference.schema import TensorMetadata
from hearth.protocols.open_inference.tensors import Array, bytes_array
from hearth.task_table import TaskRow


class JsonCodec:
    """Base of codecs: a task takes a list of texts or files, and returns as many items, which are encoded only as
    JSON."""

    def __init__(self, row: TaskRow) -> None:
        self.inputs: tuple[str, ...] = (row.input,)
        self.binary = row.binary
        """Whether the inputs are files rather than texts."""

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
        head = manifest.head
        return (TensorMetadata("embedding", "FP32", (-1, head.dimensions if isinstance(head, Pooling) else -1)),)

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


def text_array(values: Sequence[str]) -> Array:
    return bytes_array([value.encode() for value in values])


def check_batch(manifest: Manifest, items: int) -> None:
    """Raise PayloadTooLarge for more items than the manifest allows."""
    if items > manifest.limits.batch:
        raise PayloadTooLarge(f"The request has {items} items; {manifest.limits.batch} are allowed")
