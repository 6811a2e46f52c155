"""The process under test: requests full of canaries, through the handler and the local server, with injected faults.

Its stdout and stderr are files of the parent; its responses, log records and writes are in files of its folder.
"""

from __future__ import annotations

import functools
import http.client
import http.server
import itertools
import json
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import uvicorn
from msgspec.structs import replace

from hearth.aws_lambda.handler import create_handler
from hearth.errors import StoreError
from hearth.models import model as models_of
from hearth.models import sketch_writer
from hearth.storage.file import FileStore
from hearth.tasks.task import Task
from hearth_build.cli import serve
from tests.clients.bridge import FORMS, to_event
from tests.events import event
from tests.hostile import models
from tests.hostile.bases import Base, bases
from tests.hostile.mutations import mutate, raw
from tests.privacy import leaks
from tests.privacy.needles import canary
from tests.support.s3 import client

PROBE = "the film is good"
"""Text of the next caller, who must see nothing of the previous one."""
TRIGGERS = ("s3-put", "sqs-s3", "sqs-eventbridge", "eventbridge-object-created")
CHANNELS = ("errors", "headers", "records", "next", "writes", "traces")
FAULTS = ("fine",) * 8 + ("predict", "run", "tokenizer", "store")
EXCEPTIONS = (ValueError, KeyError, MemoryError, OSError, RuntimeError)


class Child:
    def __init__(self, work: Path, seed: int, *, leaking: bool) -> None:
        self.work, self.leaking = work, leaking
        self.random = Random(seed)
        self.text_canary, self.name_canary = canary(seed), canary(seed + 1)
        self.fault, self.number, self.is_storage_event = "fine", 0, False
        self.leak_functions = itertools.cycle(leaks.LEAKS.values())
        self.statuses: Counter[int] = Counter()
        self.files = {name: (work / name).open("ab") for name in CHANNELS}

    def write(self, channel: str, data: bytes) -> None:
        self.files[channel].write(b"\n#%06d " % self.number + data)
        self.files[channel].flush()

    # Injected faults

    def fail(self, fault: str, text: str) -> None:
        if self.fault == fault:
            raise self.random.choice(EXCEPTIONS)(text) from KeyError(text)

    def task(self, task: Task) -> Task:
        def predict(model: Any, request: Any) -> Any:
            self.fail("predict", repr(request))
            prediction = task.predict(model, request)
            if self.leaking:
                self.leak(request)
            return prediction

        return replace(task, predict=predict)

    def leak(self, request: Any) -> None:
        """Leak in each way in turn, for a storage event as a failure; show the text also to the next caller."""
        if request.inputs == PROBE:
            raise leaks.BadRequest(self.text_canary.word(self.number))
        leak_text = leaks.LEAKS["reason"] if self.is_storage_event else next(self.leak_functions)
        leak_text(self.text_canary.word(self.number))

    def inject_faults(self) -> None:
        """Make a model's run, its tokenizer and the store fail for their fault, with errors that quote their inputs."""
        run, tokenizer, get = models_of.Model.run, models_of._tokenizer, FileStore.get

        def _run(model: Any, feeds: Any, *arguments: Any, **keyword_arguments: Any) -> Any:
            self.fail("run", repr(feeds))
            return run(model, feeds, *arguments, **keyword_arguments)

        def _get(store: Any, *arguments: Any, **keyword_arguments: Any) -> bytes:
            if self.fault == "store":
                raise StoreError("the store could not be read: Input/output error")
            return get(store, *arguments, **keyword_arguments)

        models_of.Model.run = _run  # type: ignore[method-assign]
        models_of._tokenizer = lambda *arguments: _FragileTokenizer(tokenizer(*arguments), self)  # type: ignore[assignment]
        FileStore.get = _get  # type: ignore[method-assign]

    # Requests

    def base(self) -> Base:
        text, name = self.text_canary.word(self.number), f"{self.name_canary.plain}-{self.number:06d}"
        base = self.random.choice(_bases(self.number // 50, text, name))
        return mutate(self.random, base, text, name)

    def send_request(self, handler: Callable[[Any, Any], Any], port: int) -> None:
        self.number += 1
        self.fault = self.random.choice(FAULTS)
        base = self.base()
        channel = self.random.choice((*FORMS, "local", "local", "storage"))
        self.is_storage_event = channel == "storage"
        if self.is_storage_event and self.leaking:  # an event that reaches the handler, so that it can leak
            self.fault = "fine"
            base = Base("native", "POST", "/models/sentiment-en", {"inputs": self.text_canary.word(self.number)})
        if self.is_storage_event:
            self.store(handler, base)
        elif channel == "local":
            self.record_response(*over_http(port, base))
        else:
            self.record_response(*self.send_event(handler, channel, base))
        self.fault, self.is_storage_event = "fine", False
        if self.number % 10 == 0:
            self.probe(handler)

    def context(self) -> Any:
        return SimpleNamespace(
            aws_request_id=f"request-{self.number}", get_remaining_time_in_millis=lambda: 30_000, function_name="f"
        )

    def send_event(self, handler: Callable[[Any, Any], Any], form: str, base: Base) -> tuple[int, Any, bytes]:
        is_binary = True
        with suppress(UnicodeDecodeError):
            raw(base).decode()
            is_binary = False
        if is_binary:  # only API Gateway passes on bodies that claim to be text but are not UTF-8
            form = "rest-v1"
        aws_event = to_event(form, base.method, target(base), list(base.headers.items()), raw(base))
        response = handler(aws_event, self.context())
        body = response.get("body") or ""
        headers = {**(response.get("headers") or {}), **(response.get("multiValueHeaders") or {})}
        return response["statusCode"], headers, body.encode()

    def store(self, handler: Callable[[Any, Any], Any], base: Base) -> None:
        """Store the body as an object and send a storage event of a random kind."""
        model = base.path.split("/")[2] if base.protocol == "native" and base.path.count("/") == 2 else "sentiment-en"
        key = f"uploads/{model}/{self.number}.txt"
        exists = self.random.random() < 0.9
        if exists:
            s3().put_object(Bucket="uploads", Key=key, Body=raw(base), Metadata={"said": self.text_canary.plain})
        trigger = self.random.choice(TRIGGERS)
        storage_event = event(trigger, bucket="uploads", key=key, size=len(raw(base)), etag="", version_id="")
        try:
            response = handler(storage_event, self.context())
        except Exception as error:  # as the runtime would print it
            logging.getLogger("runtime").error("raised", exc_info=error)
            response = {"raised": type(error).__name__}
        self.write("errors", json.dumps(response).encode())

    def record_response(self, status: int, headers: Any, body: bytes) -> None:
        self.write("headers", repr(headers).encode())
        self.statuses[status] += 1
        if status >= 400:
            self.write("errors", b"%d " % status + body)
        elif body.startswith(b"data:"):
            for line in body.splitlines():
                if b'"error' in line:
                    self.write("errors", line)

    def probe(self, handler: Callable[[Any, Any], Any]) -> None:
        """Send requests of another caller."""
        requests = (
            Base("native", "POST", "/models/sentiment-en", {"inputs": PROBE}),
            Base("oip", "GET", "/v2/models/stats"),
            Base("native", "GET", "/nothing"),
        )
        for base in requests:
            status, headers, body = self.send_event(handler, "rest-v1", base)
            self.write("next", f"{status} {headers} ".encode() + body)


class _FragileTokenizer:
    """A tokenizer that may fail with an error that quotes its input."""

    def __init__(self, tokenizer: Any, child: Child) -> None:
        self._tokenizer, self._child = tokenizer, child

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._tokenizer, name)
        if not name.startswith(("encode", "token_to_id")):
            return attribute

        def fragile(*arguments: Any, **keyword_arguments: Any) -> Any:
            self._child.fail("tokenizer", repr(arguments))
            return attribute(*arguments, **keyword_arguments)

        return fragile


@functools.lru_cache(maxsize=1)
def _bases(block: int, text: str, name: str) -> list[Base]:
    return bases(text, name)


@functools.cache
def s3() -> Any:
    return client(os.environ["AWS_ENDPOINT_URL_S3"])


def target(base: Base) -> str:
    return quote(base.path, safe="/@%-._") + ("?" + urlencode(base.query) if base.query else "")


def over_http(port: int, base: Base) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(base.method, target(base), raw(base), dict(base.headers))
        response = connection.getresponse()
        return response.status, response.getheaders(), response.read()
    except (http.client.HTTPException, ConnectionError) as error:
        return 499, [], type(error).__name__.encode()
    finally:
        connection.close()


class Records(logging.Handler):
    """Write every record of every logger, with its exception and all attributes."""

    def __init__(self, child: Child) -> None:
        super().__init__(logging.DEBUG)
        self.child = child

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        if not record.name.startswith(("boto", "urllib3", "s3transfer")):  # of the test's own S3 client
            self.child.write("records", f"{record.name} {record.getMessage()} {record.__dict__} {trace}".encode())


def record_file_writes(child: Child) -> None:
    """Record each file that is opened for writing, anywhere and however short-lived."""
    allowed = (
        str(child.work / "cache"),
        str(child.work / "watch"),
        str(child.work / "captured"),
        str(child.work / "audit"),
        str(child.work / "statuses"),
        "/dev/null",
    )
    reentrant = threading.local()

    def hook(name: str, arguments: tuple[Any, ...]) -> None:
        if name != "open" or getattr(reentrant, "now", False) or not isinstance(arguments[0], (str, bytes)):
            return
        path, mode, flags = arguments
        writes = (mode and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and not os.fsdecode(path).startswith(allowed):
            reentrant.now = True
            child.write("writes", os.fsencode(path))
            reentrant.now = False

    sys.addaudithook(hook)


def receive_traces(child: Child) -> str:
    """Start a receiver of spans that writes what it gets; returns its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            child.write("traces", self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{receiver.server_address[1]}"


def main(work: Path, seed: int, requests: int, *, leaking: bool) -> None:
    child = Child(work, seed, leaking=leaking)
    logging.getLogger().addHandler(Records(child))
    logging.getLogger().setLevel(logging.DEBUG)
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = receive_traces(child)
    models.serve(work / "store", work / "cache")
    sketch_writer.SECONDS = 0.5
    child.inject_faults()
    tasks = tuple(map(child.task, serve.tasks()))
    serve.tasks = lambda: tasks
    server = uvicorn.Server(uvicorn.Config(serve.app(), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    handler = create_handler(tasks)
    record_file_writes(child)
    for _ in range(requests):
        child.send_request(handler, port)
    sketch_writer.WRITER.write()
    server.should_exit = True
    thread.join(20)
    (work / "statuses").write_text(json.dumps(child.statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), leaking=sys.argv[4] == "leaking")
