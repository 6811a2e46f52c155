"""The Open Inference Protocol, version 2, with the extensions of Triton that mean something here."""

from __future__ import annotations

from hearth.call import EVENTS, Answer, Call, Dialect, Route
from hearth.dialects.oip import bare, figures, metadata, pipeline, repository, wire
from hearth.dialects.oip.generate import generate, generate_stream
from hearth.dialects.oip.names import target
from hearth.dialects.oip.writing import BINARY


def infer(call: Call) -> Answer:
    wanted = target(call)
    return bare.infer(call, wanted) if wanted.role else pipeline.infer(call, wanted)


def _both(method: str, end: str, work: object, summary: str, **schemas: object) -> tuple[Route, ...]:
    """With and without a version in the path."""
    return tuple(
        Route(method, f"/v2/models/{{name}}{version}{end}", work, summary, **schemas)  # type: ignore[arg-type]
        for version in ("", "/versions/{version}")
    )


STATISTICS = figures.Statistics
DIALECT = Dialect(
    name="oip",
    prefixes=("/v2",),
    routes=(
        Route("GET", "/v2/health/live", metadata.health, "Whether the process answers", gives=wire.Health, open=True),
        Route(
            "GET", "/v2/health/ready", metadata.health, "Whether it would take a request", None, wire.Health, open=True
        ),
        Route("GET", "/v2", metadata.server, "What the server is", gives=wire.Server),
        Route("GET", "/v2/", metadata.server, "What the server is", gives=wire.Server),
        Route("GET", "/v2/models", metadata.models, "What is served", gives=wire.Models),
        # Before the routes with names: no model can be asked about by the name `stats`.
        Route("GET", "/v2/models/stats", figures.every, "What was answered here, by every model", gives=STATISTICS),
        *_both("GET", "", metadata.model, "What a model takes and gives", gives=wire.Metadata),
        *_both("GET", "/ready", metadata.ready, "Whether a model is there", gives=wire.Ready),
        *_both("GET", "/config", metadata.config, "A model as Triton describes it", gives=metadata.Config),
        *_both("GET", "/stats", figures.one, "What a model answered here", gives=STATISTICS),
        *_both(
            "POST",
            "/infer",
            infer,
            "Ask a model",
            takes=wire.Request,
            gives=wire.Response,
            takes_also=(BINARY,),
            gives_also=(BINARY,),
        ),
        *_both("POST", "/generate", generate, "Go on with a text", takes=wire.GenerateRequest, gives=wire.Generated),
        *_both(
            "POST",
            "/generate_stream",
            generate_stream,
            "Go on with a text, token by token",
            takes=wire.GenerateRequest,
            gives_also=(EVENTS,),
        ),
        Route(
            "POST",
            "/v2/repository/index",
            repository.index,
            "What there is",
            wire.IndexRequest,
            list[wire.Entry],
            optional=True,
        ),
        *(
            Route(
                "POST",
                f"/v2/repository/models/{{name}}/{end}",
                work,
                summary,
                wire.RepositoryRequest,
                dict[str, str],
                optional=True,
            )
            for end, work, summary in (
                ("load", repository.load, "Load a model into this environment's memory"),
                ("unload", repository.unload, "Free a model's memory in this environment"),
            )
        ),
    ),
    error=wire.error,
    failure=wire.Failure,
)
