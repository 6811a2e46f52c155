"""POST /v1/embeddings."""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hearth import strict_json
from hearth.errors import BadRequest
from hearth.protocols.base import Request, Response
from hearth.protocols.openai import common
from hearth.tasks.task import Usage

MAX_TEXTS = 2048


class EmbeddingRequest(Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str = ""


class Embedding(Struct, frozen=True):
    object: str
    index: int
    embedding: list[float] | str
    """Numbers, or base64 of little-endian float32 values."""


class EmbeddingUsage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(Struct, frozen=True):
    object: str
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def create_embedding(request: Request) -> Response:
    document = common.read(request, EmbeddingRequest, {})
    task, model = common.open_model(request, document.model, "feature-extraction")
    texts = [document.input] if isinstance(document.input, str) else document.input
    if not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequest("`input` must be a text or a list of texts, not token ids", param="input")
    if len(texts) > MAX_TEXTS:
        raise BadRequest(f"`input` has {len(texts)} texts; {MAX_TEXTS} are allowed", param="input")
    batch = model.manifest.limits.batch
    vectors: list[list[float]] = []
    usage = Usage(items=0)
    try:
        for start in range(0, len(texts), batch):
            inputs = {"inputs": texts[start : start + batch], "dimensions": document.dimensions}
            prediction = task.predict(model, strict_json.convert(inputs, task.request))
            vectors += prediction.output
            usage.add(prediction.usage)
    except BadRequest as error:
        if error.param is not None:
            raise
        raise common.with_param(error, "dimensions" if "`dimensions`" in error.message else "input") from None
    data = [
        Embedding("embedding", index, _encode(vector, document.encoding_format)) for index, vector in enumerate(vectors)
    ]
    tokens = EmbeddingUsage(usage.input_tokens, usage.input_tokens)
    return Response(msgspec.json.encode(EmbeddingResponse("list", data, document.model, tokens)), usage=usage)


def _encode(vector: list[float], encoding_format: str) -> list[float] | str:
    if encoding_format == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
