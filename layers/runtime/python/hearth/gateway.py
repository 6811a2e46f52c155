"""Events of API Gateway, function URLs and load balancers as requests of the app, by Mangum's reading of them.

A Lambda answers one request at a time, and what answers one of ours never waits for an event loop. So a known route is
called as it is, past the loop, the middleware and the search of the app, which take longer than all the rest of a warm
answer; whatever is no route of ours (documentation, unknown paths) goes through the app.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any

from mangum import Mangum
from starlette.requests import Request
from starlette.responses import Response


class Gateway:
    """What a handler calls with an HTTP event."""

    def __init__(self, app: Any) -> None:
        """`app` is what `hearth.http.create_app` makes for a Lambda."""
        self.app = app
        self._mangum = Mangum(app, lifespan="off")

    def infer(self, event: dict[str, Any], context: Any) -> Any:
        """The event as Mangum reads it: its `scope` and `body`. Called with a response, it words it."""
        return self._mangum.infer(event, context)

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        told = self.infer(event, context)
        scope = told.scope
        found = self.app.state.doors.find(scope["method"], scope["path"])
        if found is None:
            return self._mangum(event, context)
        endpoint, scope["path_params"] = found
        response = _finished(endpoint(Request(scope, _Body(told.body))))
        return told({"status": response.status_code, "headers": response.raw_headers, "body": response.body})


class _Body:
    """ASGI's `receive` of a body that is there."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __call__(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self._body, "more_body": False}


def _finished(answer: Awaitable[Response]) -> Response:
    """The result of what waits for nothing. Raises what it raises."""
    steps: Iterable[object] = answer.__await__()
    try:
        next(iter(steps))
    except StopIteration as end:
        response: Response = end.value
        return response
    raise RuntimeError("an endpoint waits, though nothing else runs here")
