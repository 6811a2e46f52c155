"""Uploads of the local server: clients PUT files to signed URLs, and a background thread processes them.

Each file becomes the storage event that S3 would send, so the same code handles it. A URL can be used once, so uploads
count against the rate of the API key that created them. Files expire, and together they have a size limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from hearth import settings
from hearth.async_inference import dead_letters, presign, storage_events
from hearth.errors import (
    BadRequest,
    Forbidden,
    HearthError,
    PayloadTooLarge,
    RequestTimeout,
    TooManyRequests,
    Unavailable,
    UnsupportedMedia,
)
from hearth.http.asgi import client_error
from hearth.protocols import huggingface
from hearth.protocols.base import JSON
from hearth.settings import MEGABYTE
from hearth.storage.file import FileStore
from hearth.tasks.memory_budget import admitted
from hearth.tasks.task import Task
from hearth.telemetry import log
from hearth.telemetry.timing import begin

KEEP_SECONDS = 24 * 3600
"""After which uploads and results are deleted."""
MIN_SECONDS = 10
"""For an upload that begins shortly before its URL expires."""


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


class UploadFolder:
    """The files of uploads and their results, below two folders. Used from the event loop alone."""

    def __init__(self, uploads: Path, results: Path | None, limit: int) -> None:
        self.root, self._folders, self._limit = uploads, [folder for folder in (uploads, results) if folder], limit
        self._used: dict[str, float] = {}
        """Signatures of used URLs -> when they expire anyway (seconds since 1970)."""
        self._arriving = 0
        """Bytes that uploads in progress may still write."""

    @contextmanager
    def accept(self, signature: str, expires: float, size: int) -> Iterator[None]:
        """Use a URL for an upload of at most `size` bytes; if the upload fails, the URL can be used again.

        Raises Forbidden for a used URL, TooManyRequests if there is no room.
        """
        now = time.time()
        self._used = {used: until for used, until in self._used.items() if until > now}
        if signature in self._used:
            raise Forbidden("This URL was used already; request another with POST /uploads")
        if self._size(now) + self._arriving + size > self._limit:
            raise TooManyRequests(
                f"The server keeps at most {self._limit // MEGABYTE} MB of uploads and results; delete some with "
                "DELETE /results/{id}, or start it with a larger HEARTH_UPLOADS_MB",
                retry_after=60,
            )
        self._used[signature] = expires
        self._arriving += size
        try:
            yield
        except BaseException:
            del self._used[signature]
            raise
        finally:
            self._arriving -= size

    def _size(self, now: float) -> int:
        """Bytes of all files, after deleting those that have expired."""
        total = 0
        for folder in self._folders:
            for path in folder.rglob("*"):
                status = path.stat(follow_symlinks=False)
                if not path.is_file():
                    continue
                if status.st_mtime + KEEP_SECONDS < now:
                    path.unlink(missing_ok=True)
                else:
                    total += status.st_size
        return total


def install(app: FastAPI, tasks: Sequence[Task]) -> None:
    """Add the route for the signed URLs that POST /uploads returns."""
    worker, chosen = Worker(tuple(map(admitted, tasks))), settings.get()
    results = FileStore(chosen.output).root if chosen.output.startswith("file:") else None
    folder = UploadFolder(FileStore(chosen.uploads).root, results, chosen.uploads_size)

    async def put(request: Request) -> Response:
        timing, request_id = begin(), uuid.uuid4().hex
        failure: HearthError | None = None
        try:
            worker.add(await receive(request, folder))
        except Exception as error:
            failure = client_error(error)
        status = failure.status if failure else 200
        log.finish_request(timing, request_id=request_id, status=status, trigger="http", failure=failure)
        body = huggingface.encode_error(failure, request_id) if failure else b""
        return Response(body, status, {"X-Request-Id": request_id}, JSON)

    app.add_route("/uploads/{id}", put, ["PUT"])


async def receive(request: Request, folder: UploadFolder) -> Upload:
    """Write the body to a file, which gets its final name when it is complete.

    Raises Forbidden, UnsupportedMedia, PayloadTooLarge, RequestTimeout, TooManyRequests, BadRequest, Unavailable,
    ClientDisconnect.
    """
    permission = presign.verify_signed_path(request.query_params)
    if request.headers.get("content-type") != permission.content_type:
        raise UnsupportedMedia(
            f"The content type must be {permission.content_type}, as in the request that created the upload"
        )
    with folder.accept(permission.signature, permission.expires, permission.max_bytes):
        try:
            async with asyncio.timeout(max(permission.expires - time.time(), MIN_SECONDS)):
                return await _write(request, folder.root / permission.key, permission)
        except TimeoutError:
            raise RequestTimeout("The upload did not end before its URL expired; send it faster") from None


async def _write(request: Request, path: Path, permission: presign.Permission) -> Upload:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    size, digest = 0, hashlib.sha256()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for chunk in request.stream():
                size += len(chunk)
                if size > permission.max_bytes:
                    raise PayloadTooLarge(
                        f"The upload is larger than {permission.max_bytes} bytes, the size given when it was created"
                    )
                digest.update(chunk)
                file.write(chunk)
        if not size:
            raise BadRequest("The upload is empty")
        partial.replace(path)
    except OSError as error:  # a full disk, for example
        raise Unavailable(f"The upload could not be written: {error.strerror}; retry later") from error
    finally:
        partial.unlink(missing_ok=True)
    return Upload(permission.key, digest.hexdigest(), size)
