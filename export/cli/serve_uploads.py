"""Uploads of the local server: clients POST signed forms, and a background thread processes their files.

Each file becomes the storage event that S3 would send, so the same code handles it. A form can be used once, so uploads
count against the rate of the API key that created them. Files expire, and together they have a size limit.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import os
import queue
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from hearth import settings
from hearth.async_inference import dead_letters, presign, storage_events, uploads
from hearth.errors import (
    Forbidden,
    HearthError,
    RequestTimeout,
    TooManyRequests,
    Unavailable,
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
from hearth_build.cli.upload_form import FormReader

KEEP_SECONDS = 24 * 3600
"""After which uploads and results are deleted."""
COUNT_SECONDS = 10
"""After which files are counted again, for results take room too."""
BLOCK = 4096
"""Bytes that a file takes on a disk beside its content: it may have a single byte, and there may be many."""


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

    def __init__(self, root: Path, results: Path | None, limit: int) -> None:
        self.root, self._folders, self._limit = root, [folder for folder in (root, results) if folder], limit
        self._used: dict[str, float] = {}
        """Signatures of used forms -> when they expire anyway (seconds since 1970)."""
        self._size = 0
        """Bytes of all files when they were last counted, and of uploads since."""
        self._counted_at = -math.inf
        self._counting: asyncio.Future[int] | None = None

    async def count(self) -> None:
        """Count the files again and delete those that have expired, if it is time or there may be no room: a thread
        does it, since there may be many."""
        if time.monotonic() - self._counted_at < COUNT_SECONDS and self._size + uploads.MAX_BYTES <= self._limit:
            return
        if self._counting is None:
            self._counting = asyncio.ensure_future(asyncio.to_thread(self._count, time.time()))
            self._counting.add_done_callback(self._finish_count)
        await asyncio.shield(self._counting)

    def _finish_count(self, counting: asyncio.Future[int]) -> None:
        self._counting, self._counted_at = None, time.monotonic()
        if not counting.cancelled() and counting.exception() is None:
            self._size = counting.result()

    @contextmanager
    def accept(self, signature: str, expires: float, size: int) -> Iterator[Callable[[int], None]]:
        """Use a form for an upload of at most `size` bytes, and yield what counts the bytes that have arrived; if the
        upload fails, the form can be used again.

        Raises Forbidden for a used form, TooManyRequests if there is no room. Only bytes that have arrived take room,
        so that slow uploads take none of others.
        """
        now = time.time()
        self._used = {used: until for used, until in self._used.items() if until > now}
        if signature in self._used:
            raise Forbidden("This form was used already; request another with POST /uploads")
        self._check_room(size)
        self._used[signature] = expires
        arrived = BLOCK

        def add(length: int) -> None:
            nonlocal arrived
            self._check_room(length)
            self._size += length
            arrived += length

        self._size += BLOCK
        try:
            yield add
        except BaseException:
            del self._used[signature]
            self._size -= arrived
            raise

    def _check_room(self, size: int) -> None:
        if self._size + size > self._limit:
            raise TooManyRequests(
                f"The server keeps at most {self._limit // MEGABYTE} MB of uploads and results; delete some with "
                "DELETE /results/{id}, or start it with a larger HEARTH_UPLOADS_MB",
                retry_after=60,
            )

    def _count(self, now: float) -> int:
        """Bytes of all files, after deleting those that have expired."""
        total = 0
        for folder in self._folders:
            for path in folder.rglob("*"):
                with suppress(FileNotFoundError):  # renamed by the worker, or deleted by a client
                    status = path.stat(follow_symlinks=False)
                    if not path.is_file():
                        continue
                    if status.st_mtime + KEEP_SECONDS < now:
                        path.unlink(missing_ok=True)
                    else:
                        total += status.st_size + BLOCK
        return total


def install(app: FastAPI, tasks: Sequence[Task]) -> None:
    """Add the route for the forms that POST /uploads returns."""
    worker, chosen = Worker(tuple(map(admitted, tasks))), settings.get()
    results = FileStore(chosen.output).root if chosen.output.startswith("file:") else None
    folder = UploadFolder(FileStore(chosen.uploads).root, results, chosen.uploads_size)

    async def post(request: Request) -> Response:
        timing, request_id = begin(), uuid.uuid4().hex
        failure: HearthError | None = None
        try:
            worker.add(await receive(request, folder))
        except Exception as error:
            failure = client_error(error)
        status = failure.status if failure else 204
        log.finish_request(timing, request_id=request_id, status=status, trigger="http", failure=failure)
        body = huggingface.encode_error(failure, request_id) if failure else b""
        return Response(body, status, {"X-Request-Id": request_id}, JSON if failure else None)

    app.add_route("/uploads/{id}", post, ["POST"])


async def receive(request: Request, folder: UploadFolder) -> Upload:
    """Write the file of a form, which gets its final name when it is complete.

    Raises Forbidden, UnsupportedMedia, PayloadTooLarge, RequestTimeout, TooManyRequests, BadRequest, Unavailable,
    ClientDisconnect.
    """
    await folder.count()
    with ExitStack() as stack:
        arriving: list[_ArrivingFile] = []

        def open_file(fields: dict[str, str]) -> tuple[Callable[[bytes], None], int]:
            permission = presign.verify_form(fields)
            add = stack.enter_context(folder.accept(permission.signature, permission.expires, permission.max_bytes))
            file = stack.enter_context(_ArrivingFile(folder.root / permission.key, permission.key))
            arriving.append(file)

            def write(data: bytes) -> None:
                add(len(data))
                file.write(data)

            return write, permission.max_bytes

        reader = FormReader(request.headers.get("content-type", ""), open_file)
        try:
            async with asyncio.timeout(presign.LIFETIME_SECONDS):
                await reader.read(request.stream())
            return arriving[0].finish(reader.size)
        except TimeoutError:
            raise RequestTimeout("The upload did not end before its form expired; send it faster") from None
        except OSError as error:  # a full disk, for example
            raise Unavailable(f"The upload could not be written: {error.strerror}; retry later") from error


class _ArrivingFile:
    """A file under a temporary name, which is deleted at the end of the block unless `finish` gives it its own name."""

    def __init__(self, path: Path, key: str) -> None:
        self._path, self._key, self._digest = path, key, hashlib.sha256()
        self._partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")

    def __enter__(self) -> _ArrivingFile:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._partial.open("xb")
        os.fchmod(self._file.fileno(), 0o600)
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def write(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)

    def finish(self, size: int) -> Upload:
        self._file.close()
        self._partial.replace(self._path)
        return Upload(self._key, self._digest.hexdigest(), size)
