"""Uploads of the local server: clients PUT files to signed URLs, and a background thread processes them.

Each file becomes the storage event that S3 would send, so the same code handles it.
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
class Upload:
    """A complete upload."""

    key: str
    etag: str
    size: int


class Worker:
    """Processes uploads one after the other, so that requests can use the other processors."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks = tasks
        self._queue: queue.SimpleQueue[Upload] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="uploads", daemon=True).start()

    def add(self, upload: Upload) -> None:
        self._queue.put(upload)

    def _run(self) -> None:
        while True:
            upload = self._queue.get()
            sequencer = f"{time.time_ns():x}"
            s3_object = {"key": upload.key, "etag": upload.etag, "size": upload.size, "sequencer": sequencer}
            event = {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {"bucket": {"name": "local"}, "object": s3_object},
            }
            try:
                storage_events.handle(self._tasks, event, None)
            except storage_events.EventFailedError as error:
                dead_letters.record_failure(upload.key, error.failures[0])  # there is no queue that would retry
            except Exception as error:
                log.log_unexpected(error)


def install(app: FastAPI, tasks: Sequence[Task]) -> None:
    """Add the route for the signed URLs that POST /uploads returns."""
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


async def receive(request: Request, root: Path) -> Upload:
    """Write the body to a file below `root`, which gets its final name when it is complete.

    Raises Forbidden, UnsupportedMedia, PayloadTooLarge, BadRequest, ClientDisconnect.
    """
    key, content_type, max_bytes = presign.verify_signed_path(request.query_params)
    if request.headers.get("content-type") != content_type:
        raise UnsupportedMedia(f"The content type must be {content_type}, as in the request that created the upload")
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    size, digest = 0, hashlib.sha256()
    try:
        with partial.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for chunk in request.stream():
                size += len(chunk)
                if size > max_bytes:
                    raise PayloadTooLarge(
                        f"The upload is larger than {max_bytes} bytes, the size given when it was created"
                    )
                digest.update(chunk)
                file.write(chunk)
        if not size:
            raise BadRequest("The upload is empty")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Upload(key, digest.hexdigest(), size)
