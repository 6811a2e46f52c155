"""HTTP events to their routes, past every web framework: importing one takes longer than all the rest of a cold start.

Whatever is no route of ours (documentation, unknown paths) goes through the app.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hearth.aws_lambda import http_event
from hearth.http import pipeline
from hearth.protocols.router import Doors
from hearth.tasks.task import Task
from hearth.telemetry import timing


class Gateway:
    """What a handler calls with an HTTP event."""

    def __init__(self, tasks: Sequence[Task], folder: Path | None) -> None:
        self._tasks, self._folder = tasks, folder
        self._doors = Doors(folder)

    @functools.cached_property
    def app(self) -> Any:
        """The same routes and the documentation, under ASGI."""
        from hearth.http.asgi import create_app

        return create_app(self._tasks, folder=self._folder)

    @functools.cached_property
    def _mangum(self) -> Any:
        from mangum import Mangum

        return Mangum(self.app, lifespan="off")

    def infer(self, event: Mapping[str, Any], context: Any) -> Any:
        """The event as Mangum reads it: its `scope` and `body`."""
        return self._mangum.infer(event, context)

    def __call__(self, asked: http_event.Asked, event: Mapping[str, Any], context: Any) -> Any:
        """The answer to what `event` asks, in the form that who sent it takes."""
        found = self._doors.find(asked.method, asked.path)
        if found is None:
            return self._mangum(event, context)
        (dialect, route), words = found
        request = pipeline.Request(
            dialect,
            route,
            self._tasks,
            words,
            asked.query,
            asked.headers,
            getattr(context, "aws_request_id", None) or uuid.uuid4().hex,
            timing.begin(),
            event=event,
            streams=False,
        )
        said = pipeline.answer(request, asked.body)
        assert isinstance(said.body, bytes)  # noqa: S101 -- what `streams` says
        if said.status not in (204, 304):
            said.headers["content-length"] = str(len(said.body))
        return http_event.word(event, said.status, said.headers, said.body)
