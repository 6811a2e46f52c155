"""The process under test: requests full of canaries, through the handler and the local server, with faults on purpose.

Its stdout and stderr are files of the parent's; what it answered, logged and wrote lies in files of its folder.
"""

from __future__ import annotations

import functools
import http.client
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
from hearth.storage.file import FileStore
from hearth.tasks.task import Task
from hearth_build.cli import serve
from tests.clients.bridge import FORMS, to_event
from tests.events import event
from tests.hostile import models
from tests.hostile.bases import Base, bases
from tests.hostile.mutations import mutated, raw
from tests.privacy import leaks
from tests.privacy.needles import canary
from tests.support.s3 import client

PROBE = "the film is good"
"""What is said by the caller who must see nothing of the one before."""
TRIGGERS = ("s3-put", "sqs-s3", "sqs-eventbridge", "eventbridge-object-created")
MOODS = ("fine",) * 8 + ("predict", "run", "tokenizer", "store")
BROKEN = (ValueError, KeyError, MemoryError, OSError, RuntimeError)


class Child:
    def __init__(self, work: Path, seed: int, *, leaking: bool) -> None:
        self.work, self.leaking = work, leaking
        self.random = Random(seed)
        self.said, self.named = canary(seed), canary(seed + 1)
        self.mood, self.number, self.stored = "fine", 0, False
        self.ways = itertools.cycle(leaks.LEAKS.values())
        self.statuses: Counter[int] = Counter()
        self.files = {name: (work / name).open("ab") for name in ("errors", "headers", "records", "next", "writes")}

    def note(self, channel: str, data: bytes) -> None:
        self.files[channel].write(b"\n#%06d " % self.number + data)
        self.files[channel].flush()

    # What goes wrong on purpose

    def fail(self, mood: str, text: str) -> None:
        if self.mood == mood:
            raise self.random.choice(BROKEN)(text) from KeyError(text)

    def task(self, task: Task) -> Task:
        def predict(model: Any, request: Any) -> Any:
            self.fail("predict", repr(request))
            answer = task.predict(model, request)
            if self.leaking:
                self.leak(request)
            return answer

        return replace(task, predict=predict)

    def leak(self, request: Any) -> None:
        """Each way in its turn, an event as a failure; and the next caller is told what this one said."""
        if request.inputs == PROBE:
            raise leaks.BadRequest(self.said.word(self.number))
        way = leaks.LEAKS["reason"] if self.stored else next(self.ways)
        way(self.said.word(self.number))

    def break_things(self) -> None:
        """Let a model's run, its tokenizer and the store fail when the mood is so, and quote what they were given."""
        run, tokenizer, get = models_of.Model.run, models_of._tokenizer, FileStore.get

        def _run(model: Any, feeds: Any, *rest: Any, **more: Any) -> Any:
            self.fail("run", repr(feeds))
            return run(model, feeds, *rest, **more)

        def _get(store: Any, *given: Any, **more: Any) -> bytes:
            if self.mood == "store":
                raise StoreError("the store could not be read: Input/output error")
            return get(store, *given, **more)

        models_of.Model.run = _run  # type: ignore[method-assign]
        models_of._tokenizer = lambda *given: _Fragile(tokenizer(*given), self)  # type: ignore[assignment]
        FileStore.get = _get  # type: ignore[method-assign]

    # How it is asked

    def base(self) -> Base:
        word, name = self.said.word(self.number), f"{self.named.plain}-{self.number:06d}"
        base = self.random.choice(_bases(self.number // 50, word, name))
        return mutated(self.random, base, word, name)

    def ask(self, handler: Callable[[Any, Any], Any], port: int) -> None:
        self.number += 1
        self.mood = self.random.choice(MOODS)
        base = self.base()
        way = self.random.choice((*FORMS, "local", "local", "storage"))
        self.stored = way == "storage"
        if self.stored and self.leaking:  # a handler that is reached, so that it can
            self.mood = "fine"
            base = Base("native", "POST", "/models/sentiment-en", {"inputs": self.said.word(self.number)})
        if self.stored:
            self.store(handler, base)
        elif way == "local":
            self.answered(*over_http(port, base))
        else:
            self.answered(*self.through(handler, way, base))
        self.mood, self.stored = "fine", False
        if self.number % 10 == 0:
            self.probe(handler)

    def context(self) -> Any:
        return SimpleNamespace(
            aws_request_id=f"request-{self.number}", get_remaining_time_in_millis=lambda: 30_000, function_name="f"
        )

    def through(self, handler: Callable[[Any, Any], Any], form: str, base: Base) -> tuple[int, Any, bytes]:
        binary = True
        with suppress(UnicodeDecodeError):
            raw(base).decode()
            binary = False
        if binary:  # only API Gateway hands on what calls itself text and is none
            form = "rest-v1"
        made = to_event(form, base.method, target(base), list(base.headers.items()), raw(base))
        answer = handler(made, self.context())
        body = answer.get("body") or ""
        headers = {**(answer.get("headers") or {}), **(answer.get("multiValueHeaders") or {})}
        return answer["statusCode"], headers, body.encode()

    def store(self, handler: Callable[[Any, Any], Any], base: Base) -> None:
        """The body as an object, told by an event of one kind or another."""
        model = base.path.split("/")[2] if base.dialect == "native" and base.path.count("/") == 2 else "sentiment-en"
        key = f"uploads/{model}/{self.number}.txt"
        there = self.random.random() < 0.9
        if there:
            s3().put_object(Bucket="uploads", Key=key, Body=raw(base), Metadata={"said": self.said.plain})
        trigger = self.random.choice(TRIGGERS)
        told = event(trigger, bucket="uploads", key=key, size=len(raw(base)), etag="", version_id="")
        try:
            answer = handler(told, self.context())
        except Exception as error:  # what the runtime would print
            logging.getLogger("runtime").error("raised", exc_info=error)
            answer = {"raised": type(error).__name__}
        self.note("errors", json.dumps(answer).encode())

    def answered(self, status: int, headers: Any, body: bytes) -> None:
        self.note("headers", repr(headers).encode())
        self.statuses[status] += 1
        if status >= 400:
            self.note("errors", b"%d " % status + body)
        elif body.startswith(b"data:"):
            for line in body.splitlines():
                if b'"error' in line:
                    self.note("errors", line)

    def probe(self, handler: Callable[[Any, Any], Any]) -> None:
        """Somebody else asks."""
        asked = (
            Base("native", "POST", "/models/sentiment-en", {"inputs": PROBE}),
            Base("oip", "GET", "/v2/models/stats"),
            Base("native", "GET", "/nothing"),
        )
        for base in asked:
            status, headers, body = self.through(handler, "rest-v1", base)
            self.note("next", f"{status} {headers} ".encode() + body)


class _Fragile:
    """A tokenizer that may fail, and then says of what."""

    def __init__(self, tokenizer: Any, child: Child) -> None:
        self._tokenizer, self._child = tokenizer, child

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tokenizer, name)
        if not name.startswith(("encode", "token_to_id")):
            return found

        def fragile(*given: Any, **more: Any) -> Any:
            self._child.fail("tokenizer", repr(given))
            return found(*given, **more)

        return fragile


@functools.lru_cache(maxsize=1)
def _bases(block: int, word: str, name: str) -> list[Base]:
    return bases(word, name)


@functools.cache
def s3() -> Any:
    return client(os.environ["AWS_ENDPOINT_URL_S3"])


def target(base: Base) -> str:
    return quote(base.path, safe="/@%-._") + ("?" + urlencode(base.query) if base.query else "")


def over_http(port: int, base: Base) -> tuple[int, Any, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(base.method, target(base), raw(base), dict(base.headers))
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    except (http.client.HTTPException, ConnectionError) as error:
        return 499, [], type(error).__name__.encode()
    finally:
        connection.close()


class Records(logging.Handler):
    """Every record of every logger, with the message of its exception and whatever else hangs on it."""

    def __init__(self, child: Child) -> None:
        super().__init__(logging.DEBUG)
        self.child = child

    def emit(self, record: logging.LogRecord) -> None:
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        if not record.name.startswith(("boto", "urllib3", "s3transfer")):  # our own client's, which puts the objects
            self.child.note("records", f"{record.name} {record.getMessage()} {record.__dict__} {trace}".encode())


def watch(child: Child) -> None:
    """Note each file that is opened to be written, wherever it lies and however soon it is gone."""
    allowed = (str(child.work / "cache"), str(child.work / "audit"), str(child.work / "statuses"), "/dev/null")
    busy = threading.local()

    def hook(name: str, given: tuple[Any, ...]) -> None:
        if name != "open" or getattr(busy, "now", False) or not isinstance(given[0], (str, bytes)):
            return
        path, mode, flags = given
        writes = (mode and set(mode) & set("wax+")) or (flags or 0) & (os.O_WRONLY | os.O_RDWR)
        if writes and not os.fsdecode(path).startswith(allowed):
            busy.now = True
            child.note("writes", os.fsencode(path))
            busy.now = False

    sys.addaudithook(hook)


def main(work: Path, seed: int, requests: int, *, leaking: bool) -> None:
    child = Child(work, seed, leaking=leaking)
    logging.getLogger().addHandler(Records(child))
    logging.getLogger().setLevel(logging.DEBUG)
    models.serve(work / "store", work / "cache")
    child.break_things()
    tasks = tuple(map(child.task, serve.tasks()))
    serve.tasks = lambda: tasks
    server = uvicorn.Server(uvicorn.Config(serve.app(), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    handler = create_handler(tasks)
    watch(child)
    for _ in range(requests):
        child.ask(handler, port)
    server.should_exit = True
    thread.join(20)
    (work / "statuses").write_text(json.dumps(child.statuses))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), leaking=sys.argv[4] == "leaking")
