"""The Open Inference Protocol, version 2, with the extensions of Triton that mean something here."""

from __future__ import annotations

from hearth.protocols.base import EVENTS, Answer, Call, Dialect, Route
from hearth.protocols.open_inference import graph_inference, metadata, repository, schema, statistics, task_inference
from hearth.protocols.open_inference.generate import generate, generate_stream
from hearth.protocols.open_inference.response import BINARY
from hearth.protocols.open_inference.target import target


def infer(call: Call) -> Answer:
    wanted = target(call)
    return graph_inference.infer(call, wanted) if wanted.role else task_inference.infer(call, wanted)


def _both(method: str, end: str, work: object, summary: str, **schemas: object) -> tuple[Route, ...]:
    """With and without a version in the path."""
    return tuple(
        Route(method, f"/v2/models/{{name}}{version}{end}", work, summary, **schemas)  # type: ignore[arg-type]
        for version in ("", "/versions/{version}")
    )


STATISTICS = statistics.Statistics
DIALECT = Dialect(
    name="open_inference",
    prefixes=("/v2",),
    routes=(
        Route("GET", "/v2/health/live", metadata.health, "Whether the process answers", gives=schema.Health, open=True),
        Route(
            "GET",
            "/v2/health/ready",
            metadata.health,
            "Whether it would take a request",
            None,
            schema.Health,
            open=True,
        ),
        Route("GET", "/v2", metadata.server, "What the server is", gives=schema.Server),
        Route("GET", "/v2/", metadata.server, "What the server is", gives=schema.Server),
        Route("GET", "/v2/models", metadata.models, "What is served", gives=schema.Models),
        # Before the routes with names: no model can be asked about by the name `stats`.
        Route("GET", "/v2/models/stats", statistics.every, "What was answered here, by every model", gives=STATISTICS),
        *_both("GET", "", metadata.model, "What a model takes and gives", gives=schema.Metadata),
        *_both("GET", "/ready", metadata.ready, "Whether a model is there", gives=schema.Ready),
        *_both("GET", "/config", metadata.config, "A model as Triton describes it", gives=metadata.Config),
        *_both("GET", "/stats", statistics.one, "What a model answered here", gives=STATISTICS),
        *_both(
            "POST",
            "/infer",
            infer,
            "Ask a model",
            takes=schema.Request,
            gives=schema.Response,
            takes_also=(BINARY,),
            gives_also=(BINARY,),
        ),
        *_both(
            "POST", "/generate", generate, "Go on with a text", takes=schema.GenerateRequest, gives=schema.Generated
        ),
        *_both(
            "POST",
            "/generate_stream",
            generate_stream,
            "Go on with a text, token by token",
            takes=schema.GenerateRequest,
            gives_also=(EVENTS,),
        ),
        Route(
            "POST",
            "/v2/repository/index",
            repository.index,
            "What there is",
            schema.IndexRequest,
            list[schema.Entry],
            optional=True,
        ),
        *(
            Route(
                "POST",
                f"/v2/repository/models/{{name}}/{end}",
                work,
                summary,
                schema.RepositoryRequest,
                dict[str, str],
                optional=True,
            )
            for end, work, summary in (
                ("load", repository.load, "Load a model into this environment's memory"),
                ("unload", repository.unload, "Free a model's memory in this environment"),
            )
        ),
    ),
    error=schema.error,
    failure=schema.Failure,
)
