"""The Open Inference Protocol, version 2, with the supported extensions of Triton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hearth.errors import BadRequest
from hearth.protocols.base import BINARY, EVENT_STREAM, Protocol, Request, Response, Route
from hearth.protocols.open_inference import (
    graph_inference,
    metadata,
    repository,
    schema,
    statistics,
    task_inference,
)
from hearth.protocols.open_inference.generate import generate, generate_stream
from hearth.protocols.open_inference.target import find_target, target_name


def infer(request: Request) -> Response:
    target = find_target(request)
    if target.role:
        return graph_inference.infer(request, target)
    return task_inference.infer(request, target)


def explain(request: Request) -> Response:
    target = find_target(request)
    if target.role:
        raise BadRequest("A graph without its task cannot be explained; ask for the model itself")
    return task_inference.infer(request, target, explain=True)


def _versioned(
    method: str, suffix: str, endpoint: Callable[[Request], Response], operation: str, summary: str, **options: Any
) -> tuple[Route, Route]:
    """A route of a model, and the same route with a version."""
    return (
        Route(method, f"/v2/models/{{name}}{suffix}", endpoint, f"model_{operation}", summary, **options),
        Route(
            method,
            f"/v2/models/{{name}}/versions/{{version}}{suffix}",
            endpoint,
            f"model_version_{operation}",
            f"{summary}, of one version",
            **options,
        ),
    )


def _repository_model(action: str, endpoint: Callable[[Request], Response], summary: str) -> Route:
    return Route(
        "POST",
        f"/v2/repository/models/{{name}}/{action}",
        endpoint,
        f"repository_model_{action}",
        summary,
        schema.RepositoryModelRequest,
        dict[str, str],
        body_optional=True,
    )


PROTOCOL = Protocol(
    name="open_inference",
    title="Open Inference Protocol",
    prefixes=("/v2",),
    routes=(
        Route(
            "GET",
            "/v2/health/live",
            metadata.server_live,
            "server_live",
            "Check that the server is alive",
            response_schema=schema.ServerHealth,
            is_immediate=True,
            public=True,
        ),
        Route(
            "GET",
            "/v2/health/ready",
            metadata.server_ready,
            "server_ready",
            "Check that the server takes requests",
            responses={200: schema.ServerHealth, 503: schema.ServerHealth},
            is_immediate=True,
            public=True,
        ),
        Route(
            "GET",
            "/v2",
            metadata.server_metadata,
            "server_metadata",
            "Get the server's metadata",
            response_schema=schema.ServerMetadata,
            is_immediate=True,
        ),
        Route(
            "GET",
            "/v2/models",
            metadata.list_model_names,
            "list_model_names",
            "List the names of the models",
            response_schema=schema.ModelNames,
        ),
        # Before the routes with a name, so that `stats` is not taken for a model's name.
        Route(
            "GET",
            "/v2/models/stats",
            statistics.all_model_statistics,
            "all_model_statistics",
            "Get the statistics of all models",
            response_schema=statistics.ModelStatisticsResponse,
        ),
        *_versioned(
            "GET",
            "",
            metadata.model_metadata,
            "metadata",
            "Get the inputs and outputs of a model",
            response_schema=schema.ModelMetadata,
        ),
        *_versioned(
            "GET",
            "/ready",
            metadata.model_ready,
            "ready",
            "Check that a model is available",
            response_schema=schema.ModelReady,
        ),
        *_versioned(
            "GET",
            "/config",
            metadata.model_config,
            "config",
            "Get the configuration of a model, as Triton has it",
            response_schema=metadata.ModelConfig,
        ),
        *_versioned(
            "GET",
            "/stats",
            statistics.model_statistics,
            "statistics",
            "Get the statistics of a model",
            response_schema=statistics.ModelStatisticsResponse,
        ),
        *_versioned(
            "POST",
            "/infer",
            infer,
            "infer",
            "Run inference with tensors",
            request_schema=schema.InferenceRequest,
            response_schema=schema.InferenceResponse,
            request_media_types=(BINARY,),
            response_media_types=(BINARY,),
            model_name=target_name,
        ),
        *_versioned(
            "POST",
            "/explain",
            explain,
            "explain",
            "Run inference, and explain which parts of the input made the scores",
            request_schema=schema.InferenceRequest,
            response_schema=schema.InferenceResponse,
            request_media_types=(BINARY,),
            response_media_types=(BINARY,),
            model_name=target_name,
        ),
        *_versioned(
            "POST",
            "/generate",
            generate,
            "generate",
            "Generate a text",
            request_schema=schema.GenerateRequest,
            response_schema=schema.GenerateResponse,
            model_name=target_name,
        ),
        *_versioned(
            "POST",
            "/generate_stream",
            generate_stream,
            "generate_stream",
            "Generate a text, token by token",
            request_schema=schema.GenerateRequest,
            response_media_types=(EVENT_STREAM,),
            model_name=target_name,
        ),
        Route(
            "POST",
            "/v2/repository/index",
            repository.repository_index,
            "repository_index",
            "List the model repository",
            schema.RepositoryIndexRequest,
            list[schema.RepositoryIndexEntry],
            body_optional=True,
        ),
        _repository_model("load", repository.load_model, "Load a model into the memory of this environment"),
        _repository_model("unload", repository.unload_model, "Free the memory of a model in this environment"),
    ),
    encode_error=schema.encode_error,
    error_schema=schema.OpenInferenceError,
)
