"""From a storage event to the written result: `stored.py folder|s3 hearth|plain`.

Each turn puts COUNT objects, handles an event for each, and alternates with the bare computation (encode, session.run,
decode). `plain` reads, computes and writes without any guarantee, with files or with boto3.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.benchmarks.engines.handler import CONTEXT, MODEL, TEXT, as_lambda
from tests.benchmarks.engines.turns import serve
from tests.support.emulator import free_port
from tests.support.s3 import CREDENTIALS, client

COUNT = 40
BUCKET = "bucket"
BODY = json.dumps({"inputs": TEXT}).encode()


class ObjectStore(Protocol):
    def put(self, key: str) -> None: ...
    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes) -> None: ...


class Folder:
    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str) -> None:
        self.write(key, BODY)

    def read(self, key: str) -> bytes:
        return (self._root / key).read_bytes()

    def write(self, key: str, data: bytes) -> None:
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


class Boto:
    def __init__(self, url: str) -> None:
        self._s3 = client(url)
        self._s3.create_bucket(Bucket=BUCKET)

    def put(self, key: str) -> None:
        self.write(key, BODY)

    def read(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def write(self, key: str, data: bytes) -> None:
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=data)


def wait_until_listening(port: int, seconds: float = 60) -> None:
    """Wait until a server listens. Raises ConnectionRefusedError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@contextmanager
def object_store(kind: str, folder: Path) -> Iterator[ObjectStore]:
    """The store of inputs and results, also configured for the runtime."""
    if kind == "folder":
        os.environ |= {"HEARTH_UPLOADS": (folder / "in").as_uri(), "HEARTH_OUTPUT": (folder / "out").as_uri()}
        yield Folder(folder / "in")
        return
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
    try:
        url = f"http://127.0.0.1:{port}"
        os.environ |= {**CREDENTIALS, "AWS_ENDPOINT_URL": url, "HEARTH_OUTPUT": f"s3://{BUCKET}/results"}
        wait_until_listening(port)
        yield Boto(url)
    finally:
        server.kill()
        server.wait()


def calls(way: str, store: ObjectStore) -> tuple[Callable[[str], object], Callable[[], object]]:
    """A call that handles an object by its key, and the bare computation."""
    import msgspec

    from hearth.models.cache import warm_cache
    from hearth_functions.text_classification import app

    with warm_cache().get(MODEL) as model:
        session = model.session()

    def compute(text: str = TEXT) -> Any:
        request = app.Request(text)
        return app.decode(model, request, session.run(None, app.encode(model, request)))

    def plain(key: str) -> None:
        store.write(f"results/{key}.json", msgspec.json.encode(compute(json.loads(store.read(key))["inputs"])))

    numbers = itertools.count()

    def hearth(key: str) -> None:
        s3_object = {"key": key, "size": len(BODY), "sequencer": f"{next(numbers):016X}"}
        notification = {"bucket": {"name": BUCKET}, "object": s3_object}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": notification}
        assert app.handler({"Records": [record]}, CONTEXT) == {}

    return (hearth if way == "hearth" else plain), compute


def main() -> None:
    with tempfile.TemporaryDirectory() as name, object_store(sys.argv[1], Path(name)) as store:
        as_lambda(Path(name))
        handle, compute = calls(sys.argv[2], store)
        devnull, numbers = os.open(os.devnull, os.O_WRONLY), itertools.count()

        def turn() -> dict[str, float]:
            os.dup2(devnull, 1)  # the lines of the log
            handle_times, compute_times = [], []
            for _ in range(COUNT):
                key = f"uploads/{MODEL}/{next(numbers)}.json"
                store.put(key)
                for times, work in ((handle_times, lambda: handle(key)), (compute_times, compute)):  # noqa: B023 -- called at once
                    started = time.perf_counter()
                    work()
                    times.append((time.perf_counter() - started) * 1e3)
            return {
                "ms": statistics.median(handle_times),
                "over_ms": statistics.median(handle_times) - statistics.median(compute_times),
            }

        serve(turn)


if __name__ == "__main__":
    main()
