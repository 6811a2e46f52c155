"""FastAPI around tasks: routes, limits, one error form, the log line."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hearth import __version__, log, settings, trace
from hearth.cache import warm
from hearth.dialects import native
from hearth.errors import BadRequest, HearthError, Internal, MethodNotAllowed, NotFound, PayloadTooLarge
from hearth.manifest import Manifest
from hearth.task import Task, choose

STATUSES = {404: NotFound, 405: MethodNotAllowed}
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    for status, words in {
        400: "The request is wrong; `error` says how",
        403: "This version may not be asked for here",
        404: "No such model, version or alias",
        413: "Too large; `error` names the limit",
        415: "Not a kind of file that the task reads",
        500: "Our fault; the log has the cause under `request_id`",
        503: "The model cannot be loaded now; Retry-After says when to ask again",
    }.items()
}
ERROR = {
    "type": "object",
    "required": ["error", "error_type", "request_id"],
    "properties": {name: {"type": "string"} for name in ("error", "error_type", "request_id")},
}


def create_app(tasks: Sequence[Task], *, local: bool = False) -> FastAPI:
    """The app of the functions whose `tasks` these are; with none, the catalogue alone.

    A `local` server answers several requests at once, so it predicts on threads, and brings a documentation page
    of its own that needs no network; a Lambda answers one request, and has the page load its scripts from a CDN.
    """
    app = FastAPI(
        title="Hearth",
        version=__version__,
        description="AI models as a service",
        docs_url=None if local else "/docs",
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )

    async def predict(request: Request, task_id: str, name: str) -> Response:
        def answer(body: bytes) -> bytes:
            found = choose(tasks, name, _manifest(name).task, task_id)
            with trace.step("read"):
                asked = native.read(found, body, request.query_params)
            response = found.predict(name, asked)
            with trace.step("write"):
                return native.write(response)

        async def work() -> bytes:
            body = await _body(request)
            return await run_in_threadpool(answer, body) if local else answer(body)

        return await _respond(request, work)

    @app.post("/models/{name}", responses=ERRORS, tags=["any model"], summary="Ask a model")
    async def ask(request: Request, name: str) -> Response:
        return await predict(request, "", name)

    @app.post("/pipeline/{task}/{name}", responses=ERRORS, tags=["any model"], summary="Ask a model for a task")
    async def ask_for_task(request: Request, task: str, name: str) -> Response:
        return await predict(request, task, name)

    @app.get("/models", responses=ERRORS, tags=["any model"], summary="What is served")
    async def models(request: Request) -> Response:
        async def work() -> bytes:
            return msgspec.json.encode({"models": [_summary(name) for name in warm().registry.models()]})

        return await _respond(request, work)

    @app.get("/models/{name}", responses=ERRORS, tags=["any model"], summary="A model's manifest")
    async def model(request: Request, name: str) -> Response:
        async def work() -> bytes:
            return msgspec.json.encode(_manifest(name))

        return await _respond(request, work)

    @app.get("/v2/health/live", tags=["health"], summary="Whether the process answers")
    @app.get("/v2/health/ready", tags=["health"], summary="Whether it would take a request")
    async def health(request: Request) -> Response:
        async def work() -> bytes:
            return b'{"live":true,"ready":true}'

        return await _respond(request, work)

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, failure: HTTPException) -> Response:
        kind = STATUSES.get(failure.status_code, BadRequest)
        return _failed(request, kind(f"{request.method} {request.url.path[:200]}: {failure.detail}"), trace.begin())

    app.openapi = lambda: _openapi(app, tasks)  # type: ignore[method-assign]
    return app


async def _respond(request: Request, work: Callable[[], Any]) -> Response:
    """The outermost boundary: whatever happens becomes an answer and one log line."""
    timing = trace.begin()
    try:
        body = await work()
    except HearthError as failure:
        return _failed(request, failure, timing)
    except ClientDisconnect:
        return _failed(request, BadRequest("The client went away"), timing)
    except Exception as error:
        log.unexpected(error)
        return _failed(request, Internal("An unexpected error; its cause is in the log"), timing)
    return _finish(request, timing, Response(body, 200, media_type="application/json"))


def _failed(request: Request, failure: HearthError, timing: trace.Trace) -> Response:
    response = Response(native.error(failure, _request_id(request)), failure.status, media_type="application/json")
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    return _finish(request, timing, response, failure)


def _finish(request: Request, timing: trace.Trace, response: Response, failure: HearthError | None = None) -> Response:
    response.headers["X-Request-Id"] = _request_id(request)
    response.headers["Server-Timing"] = timing.server_timing()
    log.request(timing, request_id=_request_id(request), status=response.status_code, trigger="http", failure=failure)
    return response


def _request_id(request: Request) -> str:
    """Lambda's id of the invocation; else one of our own."""
    context = request.scope.get("aws.context")
    if "hearth.request_id" not in request.scope:
        request.scope["hearth.request_id"] = getattr(context, "aws_request_id", None) or uuid.uuid4().hex
    return str(request.scope["hearth.request_id"])


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is too long, whatever Content-Length says."""
    limit = settings.get().max_body
    parts, length = [], 0
    async for part in request.stream():
        length += len(part)
        if length > limit:
            raise PayloadTooLarge(f"The body is longer than {limit} bytes; upload the file and let its event run")
        parts.append(part)
    return b"".join(parts)


def _manifest(name: str) -> Manifest:
    registry = warm().registry
    return registry.manifest(registry.resolve(name))


def _summary(name: str) -> dict[str, Any]:
    manifest = _manifest(name)
    return {
        "name": name,
        "task": manifest.task,
        "version": manifest.version,
        "description": manifest.description,
        "licence": manifest.licence,
        "size": manifest.size,
        "metrics": manifest.metrics.served,
    }


def _openapi(app: FastAPI, tasks: Sequence[Task]) -> dict[str, Any]:
    """FastAPI's document, with the tasks' own schemas: one path a model, since its task decides what it takes."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    # FastAPI's own form of a validation error is one that we never send.
    for methods in document["paths"].values():
        for operation in methods.values():
            operation["responses"].pop("422", None)
    schemas = {"Error": ERROR}
    document["components"] = {"schemas": schemas}
    models: dict[str, Any] = {}
    for name in warm().registry.models():
        try:
            task = choose(tasks, name, _manifest(name).task)
        except NotFound:
            continue
        prefix = "".join(part.title() for part in task.id.split("-"))
        kinds, parts = msgspec.json.schema_components(
            [task.request, task.response], ref_template=f"#/components/schemas/{prefix}{{name}}"
        )
        schemas |= {f"{prefix}{part}": schema for part, schema in parts.items()}
        content = {"application/json": {"schema": kinds[0], "example": task.example}}
        if task.binary:
            content["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
        models[f"/models/{name}"] = {
            "post": {
                "tags": ["models"],
                "summary": f"{name}: {task.id}",
                "operationId": f"ask-{name}",
                "requestBody": {"required": True, "content": content},
                "responses": {
                    "200": {"description": "The answer", "content": {"application/json": {"schema": kinds[1]}}},
                    **{str(status): words for status, words in ERRORS.items()},
                },
            }
        }
    document["paths"] = models | document["paths"]
    return document
