"""What travels: requests and answers of the Open Inference Protocol as structs, and its words for failures."""

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
LENGTH = "inference-header-content-length"
"""The header that says how many bytes of a body are JSON; tensors follow them."""


class Failure(Struct, frozen=True):
    error: str


class Health(Struct, frozen=True):
    live: bool
    ready: bool


class Server(Struct, frozen=True):
    name: str
    version: str
    extensions: list[str]


class Models(Struct, frozen=True):
    models: list[str]


class Ready(Struct, frozen=True):
    name: str
    ready: bool


class Spec(Struct, frozen=True):
    """A tensor of a model."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1 where it varies."""


class Metadata(Struct, frozen=True):
    name: str
    versions: list[str]
    platform: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    properties: dict[str, str]


class Input(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    shape: Annotated[list[Size], Meta(max_length=8)]
    datatype: Datatype
    parameters: Parameters = {}
    data: Any = UNSET
    """Flat or nested as the shape is, row after row; left out where the bytes follow the JSON."""


class Output(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    parameters: Parameters = {}


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    inputs: Annotated[list[Input], Meta(min_length=1, max_length=1000)]
    outputs: Annotated[list[Output], Meta(max_length=1000)] = []
    """None: all."""
    id: str = ""
    parameters: Parameters = {}
    model_name: str = ""
    """KServe's client says it again; the path is what counts."""


class Produced(Struct, frozen=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: Parameters | UnsetType = UNSET
    data: list[Any] | UnsetType = UNSET
    """Left out where the bytes follow the JSON."""


class Response(Struct, frozen=True):
    model_name: str
    model_version: str
    id: str
    outputs: list[Produced]


class IndexRequest(Struct, frozen=True, forbid_unknown_fields=True):
    ready: bool = False
    """Only what is in memory."""


class Entry(Struct, frozen=True):
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


class RepositoryRequest(Struct, frozen=True, forbid_unknown_fields=True):
    parameters: dict[str, Any] = {}


class GenerateRequest(Struct, frozen=True):
    """Fields beside these are parameters too."""

    text_input: str
    id: str = ""
    parameters: dict[str, Any] = {}


class Generated(Struct, frozen=True):
    id: str
    model_name: str
    model_version: str
    text_output: str
    done: bool | UnsetType = UNSET
    """In a stream, whether this is its end."""


def error(failure: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(Failure(failure.message))
