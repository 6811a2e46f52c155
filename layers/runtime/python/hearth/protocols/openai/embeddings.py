"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hearth import strict_json
from hearth.errors import BadRequest, HearthError
from hearth.models.cache import manifest_of
from hearth.protocols.base import Answer, Call
from hearth.protocols.openai import common
from hearth.telemetry import timing

MOST = 2048
"""Texts of a request."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str = ""


class Embedding(Struct, frozen=True):
    object: str
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of them as little-endian float32."""


class Usage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class Response(Struct, frozen=True):
    object: str
    data: list[Embedding]
    model: str
    usage: Usage


def embeddings(call: Call) -> Answer:
    asked = common.read(call, Request, {})
    task = common.task(call, asked.model, "feature-extraction")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest(
            "`input` must be a text or a list of texts; tokens of other models mean nothing", param="input"
        )
    if len(texts) > MOST:
        raise BadRequest(f"`input` has {len(texts)} texts; {MOST} are allowed", param="input")
    size = manifest_of(asked.model).limits.batch
    vectors: list[list[float]] = []
    try:
        for start in range(0, len(texts), size):
            inputs = {"inputs": texts[start : start + size], "dimensions": asked.dimensions}
            vectors += task.predict(asked.model, strict_json.convert(inputs, task.request))
    except HearthError as failure:
        if failure.param is None and isinstance(failure, BadRequest):
            failure.param = "dimensions" if "`dimensions`" in failure.message else "input"
        raise
    tokens = int(timing.current().facts.get("input_tokens", 0))
    data = [Embedding("embedding", index, _written(vector, asked)) for index, vector in enumerate(vectors)]
    return Answer(msgspec.json.encode(Response("list", data, asked.model, Usage(tokens, tokens))))


def _written(vector: list[float], asked: Request) -> list[float] | str:
    if asked.encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
