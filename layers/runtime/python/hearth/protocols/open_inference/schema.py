"""Requests, responses and errors of the Open Inference Protocol."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hearth.errors import HearthError

Value = str | int | float | bool
Parameters: TypeAlias = dict[str, Value]
Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
Size = Annotated[int, Meta(ge=0, le=2**31 - 1)]
HEADER_LENGTH = "inference-header-content-length"
"""The header with the length of a body's JSON in bytes; binary data follows it."""


class OpenInferenceError(Struct, frozen=True):
    error: str


class ServerHealth(Struct, frozen=True):
    live: bool
    ready: bool


class ServerMetadata(Struct, frozen=True):
    name: str
    version: str
    extensions: list[str]


class ModelNames(Struct, frozen=True):
    models: list[str]


class ModelReady(Struct, frozen=True):
    name: str
    ready: bool


class TensorMetadata(Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 for dynamic dimensions."""


class ModelMetadata(Struct, frozen=True):
    name: str
    versions: list[str]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    properties: dict[str, str]


class RequestInput(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    shape: Annotated[list[Size], Meta(max_length=8)]
    datatype: Datatype
    parameters: Parameters = {}
    data: Any = UNSET
    """Flat, or nested as the shape, in row-major order; omitted if the data is binary."""


class RequestOutput(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    parameters: Parameters = {}


class InferenceRequest(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Annotated[list[RequestInput], Meta(min_length=1, max_length=1000)]
    outputs: Annotated[list[RequestOutput], Meta(max_length=1000)] = []
    """Requested outputs; empty: all."""
    id: str = ""
    parameters: Parameters = {}
    model_name: str = ""
    """Sent by KServe's client, but ignored: the path has the name."""


class ResponseOutput(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | UnsetType = UNSET
    data: list[Any] | UnsetType = UNSET
    """Omitted if the data is binary."""


class InferenceResponse(Struct, frozen=True):
    model_name: str
    model_version: str
    id: str
    outputs: list[ResponseOutput]


class RepositoryIndexRequest(Struct, frozen=True, forbid_unknown_fields=True):
    ready: bool = False
    """Whether only models in memory are listed."""


class RepositoryIndexEntry(Struct, frozen=True):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class RepositoryModelRequest(Struct, frozen=True, forbid_unknown_fields=True):
    parameters: dict[str, Any] = {}


class GenerateRequest(Struct, frozen=True):
    """Any other field is a parameter too."""

    text_input: str
    id: str = ""
    parameters: dict[str, Any] = {}


class GenerateResponse(Struct, frozen=True):
    id: str
    model_name: str
    model_version: str
    text_output: str
    done: bool | UnsetType = UNSET
    """In a stream, whether this is the last event."""


def encode_error(error: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(OpenInferenceError(error.message))
