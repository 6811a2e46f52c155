"""How each task looks as tensors: BYTES in, its native answers as JSON texts out, numbers beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from hearth.errors import PayloadTooLarge
from hearth.models.manifest import Manifest, Pooling
from hearth.protocols.open_inference.schema import Spec
from hearth.protocols.open_inference.tensors import Array, bytes_array

Predict = Any
"""A document of the task's request -> (the request, its response)."""


@dataclass(frozen=True)
class Answered:
    items: list[Any]
    """The native answer of each item."""
    rows: list[Any]
    """What the typed outputs are made of; the items, unless the caller wanted less than all."""
    parameters: Any = None
    """The task's own, as it read them."""


class View:
    """Of a task that takes a list of texts or files and answers with as many things."""

    inputs: tuple[str, ...] = ("text",)
    binary = False
    """Whether the inputs are files rather than texts."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        """The requests that answer all items; `columns` has a list for each input."""
        return [{"inputs": columns[self.inputs[0]], "parameters": parameters}]

    def widened(self, request: Any, manifest: Manifest) -> Any:
        """The request that tells all that the typed outputs need."""
        return request

    def items(self, request: Any, response: Any) -> list[Any]:
        """The native answer of each item of one request's response."""
        return list(response)

    def narrowed(self, request: Any, rows: list[Any]) -> list[Any]:
        """What the caller asked for, of what a widened request gave."""
        return rows

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        """The typed ones."""
        return ()

    def labels(self, manifest: Manifest, request: Any) -> Sequence[str]:
        """Of the classification extension."""
        return manifest.labels

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        raise NotImplementedError


class Scores(View):
    """Classifiers: a score for each label, in the order of the manifest."""

    def widened(self, request: Any, manifest: Manifest) -> Any:
        parameters = msgspec.structs.replace(request.parameters, top_k=len(manifest.labels))
        return msgspec.structs.replace(request, parameters=parameters)

    def narrowed(self, request: Any, rows: list[Any]) -> list[Any]:
        return [row[: request.parameters.top_k] for row in rows]

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec("scores", "FP32", (-1, len(manifest.labels))),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        scores = [{score.label: score.score for score in row} for row in rows]
        return np.array([[row[label] for label in labels] for row in scores], np.float32)


class Pictures(Scores):
    inputs = ("image",)
    binary = True


class ZeroShot(Scores):
    """As classifiers, in the order in which the caller named the labels."""

    def widened(self, request: Any, manifest: Manifest) -> Any:
        return request

    def narrowed(self, request: Any, rows: list[Any]) -> list[Any]:
        return rows

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec("scores", "FP32", (-1, -1)),)

    def labels(self, manifest: Manifest, request: Any) -> Sequence[str]:
        named = request.parameters.candidate_labels
        return [label.strip() for label in named.split(",")] if isinstance(named, str) else named


class Questions(View):
    inputs = ("question", "context")

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        pairs = zip(columns["question"], columns["context"], strict=True)
        inputs = [{"question": question, "context": context} for question, context in pairs]
        return [{"inputs": inputs, "parameters": parameters}]

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        names = {"answer": "BYTES", "score": "FP32", "start": "INT64", "end": "INT64"}
        return tuple(Spec(name, datatype, (-1,)) for name, datatype in names.items())

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        values = [getattr(row[0] if isinstance(row, list) else row, name) for row in rows]  # the best of each
        if name == "answer":
            return texts(values)
        return np.array(values, np.float32 if name == "score" else np.int64)


class Vectors(View):
    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        head = manifest.head
        return (Spec("embedding", "FP32", (-1, head.dimensions if isinstance(head, Pooling) else -1)),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array(rows, np.float32)


class Likeness(View):
    """Of each text with the parameter `source_sentence`."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        own = dict(parameters)
        inputs = {"sentences": columns["text"]}
        if "source_sentence" in own:  # else the task's own request says what is missing
            inputs["source_sentence"] = own.pop("source_sentence")
        return [{"inputs": inputs, "parameters": own}]

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec("scores", "FP32", (-1,)),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return np.array(rows, np.float32)


class Each(View):
    """Of a task that answers one text or file at a time."""

    def documents(self, columns: Mapping[str, list[Any]], parameters: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"inputs": item, "parameters": parameters} for item in columns[self.inputs[0]]]

    def items(self, request: Any, response: Any) -> list[Any]:
        return [response]


class Written(View):
    """Texts, by the name that the native answers have for them."""

    field = "translation_text"

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec(self.field, "BYTES", (-1,)),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return texts([getattr(row, self.field) for row in rows])


class GeneratedTexts(Written, Each):
    field = "generated_text"

    def items(self, request: Any, response: Any) -> list[Any]:
        return list(response)


class Speech(Each):
    inputs = ("audio",)
    binary = True

    def outputs(self, manifest: Manifest) -> tuple[Spec, ...]:
        return (Spec("transcript", "BYTES", (-1,)),)

    def typed(self, name: str, rows: list[Any], labels: Sequence[str]) -> Array:
        return texts([row.text for row in rows])


def texts(values: Sequence[str]) -> Array:
    return bytes_array([value.encode() for value in values])


def within(manifest: Manifest, items: int) -> None:
    """Raises PayloadTooLarge."""
    if items > manifest.limits.batch:
        raise PayloadTooLarge(f"{items} items came; {manifest.limits.batch} are allowed in one request")
