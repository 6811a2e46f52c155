"""Uploads of the local server: files below a folder, put at signed addresses, answered by a thread of its own.

Each file becomes the storage event that S3 would have sent, for the code that answers those.
"""

from __future__ import annotations

import hashlib
import os
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from hearth import settings
from hearth.async_inference import dead_letters, presign, storage_events
from hearth.errors import BadRequest, HearthError, PayloadTooLarge, UnsupportedMedia
from hearth.http.asgi import client_error
from hearth.protocols import huggingface
from hearth.protocols.base import JSON
from hearth.tasks.task import Task
from hearth.telemetry import log
from hearth.telemetry.timing import begin


@dataclass(frozen=True)
class Arrived:
    key: str
    etag: str
    size: int


class Worker:
    """Answers uploads one after the other; requests have the other processors."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._queue: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="uploads", daemon=True).start()

    def add(self, arrived: Arrived) -> None:
        self._queue.put(arrived)

    def _run(self) -> None:
        while True:
            arrived = self._queue.get()
            thing = {"key": arrived.key, "etag": arrived.etag, "size": arrived.size, "sequencer": f"{time.time_ns():x}"}
            event = {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "local"}, "object": thing},
            }
            try:
                storage_events.handle(self._tasks, event, None)
            except storage_events.EventFailedError as error:
                dead_letters.record_failure(arrived.key, error.failures[0])  # nobody delivers the event again here
            except Exception as error:
                log.log_unexpected(error)


def install(app: FastAPI, tasks: Sequence[Task]) -> None:
    """Let `app` take uploads at the addresses that POST /uploads gives."""
    worker = Worker(tasks)
    root = Path(unquote(urlsplit(settings.get().uploads).path))

    async def put(request: Request) -> Response:
        timing, request_id = begin(), uuid.uuid4().hex
        failure: HearthError | None = None
        try:
            worker.add(await receive(request, root))
        except Exception as error:
            failure = client_error(error)
        status = failure.status if failure else 200
        log.finish_request(timing, request_id=request_id, status=status, trigger="http", failure=failure)
        body = huggingface.encode_error(failure, request_id) if failure else b""
        return Response(body, status, {"X-Request-Id": request_id}, JSON)

    app.add_route("/uploads/{id}", put, ["PUT"])


async def receive(request: Request, root: Path) -> Arrived:
    """Write the body below `root`, under its name once it is whole.

    Raises Forbidden, UnsupportedMedia, PayloadTooLarge, BadRequest, ClientDisconnect.
    """
    key, content_type, max_bytes = presign.verify_signed_path(request.query_params)
    if request.headers.get("content-type") != content_type:
        raise UnsupportedMedia(f"The content type must be {content_type}, as it was when the upload was asked for")
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    size, digest = 0, hashlib.sha256()
    try:
        with partial.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for part in request.stream():
                size += len(part)
                if size > max_bytes:
                    raise PayloadTooLarge(f"The upload is longer than the {max_bytes} bytes that were asked for")
                digest.update(part)
                file.write(part)
        if not size:
            raise BadRequest("The upload is empty")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Arrived(key, digest.hexdigest(), size)
