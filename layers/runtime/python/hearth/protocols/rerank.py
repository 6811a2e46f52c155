"""Ranking in the forms of Text Embeddings Inference, Cohere and Jina.

Text Embeddings Inference has `/rerank` of one server for one model, so it is the route of a model here; Cohere's and
Jina's requests name their model. Their responses share a form, so one route answers both.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from hearth import strict_json
from hearth.errors import BadRequest, HearthError
from hearth.protocols.base import Protocol, Request, Response, Route, named_model
from hearth.tasks.payload import known_fields

T = TypeVar("T")
TASK = "text-ranking"


class RerankError(Struct, frozen=True):
    """An error in all three forms: `error` and `error_type`, `message`, `detail`."""

    error: str
    error_type: str
    message: str
    detail: str
    request_id: str


class TeiRequest(Struct, frozen=True):
    query: str
    texts: list[str]
    raw_scores: bool = False
    return_text: bool = False
    truncate: bool = False
    truncation_direction: Annotated[str, Meta(pattern="^([Ll]eft|[Rr]ight)$")] = "Right"


class TeiRank(Struct, frozen=True, omit_defaults=True):
    index: int
    score: float
    text: str | None = None


class RerankDocument(Struct, frozen=True):
    text: str


class RerankRequest(Struct, frozen=True):
    """Cohere's and Jina's request. Documents are texts, or objects with a field `text`."""

    model: str
    query: str
    documents: list[str | RerankDocument]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False
    rank_fields: list[Literal["text"]] | None = None
    """Fields of the documents that are read; others than `text` are not supported."""


class RerankResult(Struct, frozen=True, omit_defaults=True):
    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class RerankResponse(Struct, frozen=True):
    id: str
    model: str
    results: list[RerankResult]
    """Best first."""
    usage: RerankUsage
    meta: dict[str, Any]


def encode_error(error: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(RerankError(error.message, error.code, error.message, error.message, request_id))


def _read(request: Request, schema: type[T]) -> T:
    """Decode the body as `schema`, without unknown fields. Raises BadRequest, also for a misspelt field."""
    document = strict_json.loads(request.body)
    fields = schema.__struct_fields__  # type: ignore[attr-defined]
    if isinstance(document, dict) and document.keys() - set(fields):
        document = known_fields(document, fields)
    return strict_json.convert(document, schema)


def rank(request: Request) -> Response:
    """Text Embeddings Inference's form."""
    document = _read(request, TeiRequest)
    task, model = request.open_model(request.path_params["name"], TASK)
    parameters = {
        "raw_scores": document.raw_scores,
        "return_text": document.return_text,
        "truncate": document.truncate,
        "truncation_direction": document.truncation_direction.lower(),
    }
    inputs = {"query": document.query, "texts": document.texts}
    prediction = task.predict(model, strict_json.convert({"inputs": inputs, "parameters": parameters}, task.request))
    ranks = [TeiRank(item.index, item.score, item.text) for item in prediction.output]
    return Response(msgspec.json.encode(ranks), usage=prediction.usage)


def rerank(request: Request) -> Response:
    """Cohere's and Jina's form."""
    document = _read(request, RerankRequest)
    texts = [item if isinstance(item, str) else item.text for item in document.documents]
    if not texts:
        raise BadRequest("`documents` is empty; send at least one document")
    task, model = request.open_model(document.model, TASK)
    parameters = {"top_n": document.top_n}
    inputs = {"query": document.query, "texts": texts}
    prediction = task.predict(model, strict_json.convert({"inputs": inputs, "parameters": parameters}, task.request))
    results = [
        RerankResult(item.index, item.score, RerankDocument(texts[item.index]) if document.return_documents else None)
        for item in prediction.output
    ]
    tokens = prediction.usage.input_tokens
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}, "tokens": {"input_tokens": tokens}}
    response = RerankResponse(request.request_id, document.model, results, RerankUsage(tokens, tokens), meta)
    return Response(msgspec.json.encode(response), usage=prediction.usage)


PROTOCOL = Protocol(
    name="rerank",
    title="Rerank",
    prefixes=("/rerank",),
    routes=(
        Route(
            "POST",
            "/models/{name}/rerank",
            rank,
            "rank_texts",
            "Rank texts by a query (Text Embeddings Inference)",
            TeiRequest,
            list[TeiRank],
            model_name=named_model,
        ),
        Route("POST", "/rerank", rerank, "rerank", "Rank documents by a query", RerankRequest, RerankResponse),
        Route(
            "POST",
            "/v1/rerank",
            rerank,
            "rerank_v1",
            "Rank documents by a query (Cohere v1, Jina)",
            RerankRequest,
            RerankResponse,
        ),
        Route(
            "POST",
            "/v2/rerank",
            rerank,
            "rerank_v2",
            "Rank documents by a query (Cohere v2)",
            RerankRequest,
            RerankResponse,
        ),
    ),
    encode_error=encode_error,
    error_schema=RerankError,
)
