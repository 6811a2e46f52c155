"""One measurement of how work grows: `grown.py KIND SIZE FOLDER` prints seconds of processor time and megabytes.

The process is fresh; `seconds` count the work alone; `peak_mb` is the highest resident memory. Other work on the
machine hardly changes the processor time.
"""

from __future__ import annotations

import http.server
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.worker import peak_mb
from tests.support.artifacts import make_text_artifact

PAGE = 1000
"""Number of keys in a page of a listing."""
Work = Callable[[], None]
"""The work to measure; everything it needs is already loaded."""


def video(count: int, folder: Path, scratch: Path) -> Work:
    """Track the frames of a video, with the annotated video and the contact sheet."""
    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth_functions.object_tracking import app

    artifact = folder / "squares/1"
    model = Model(parse((artifact / "manifest.json").read_bytes()), artifact, threads=1)
    film = (folder / f"{count}.mp4").read_bytes()
    request = app.Request(film, app.Parameters(annotate=True, contact_sheet=True))

    def work() -> None:
        assert app.predict(model, request).output.frames == count

    return work


def tokens(count: int, folder: Path, scratch: Path) -> Work:
    """Generate tokens after a prompt of one token."""
    from hearth.models.manifest import parse
    from hearth.models.model import Model
    from hearth.tasks.generation import KeyValueCache

    artifact = folder / "random-int8/1"
    model = Model(parse((artifact / "manifest.json").read_bytes()), artifact, threads=1)

    def work() -> None:
        cache = KeyValueCache(model, 1 + count)
        token = int(cache.read_prompt([0]).argmax())
        for _ in range(count):
            token = int(cache.read([token])[0].argmax())

    return work


def batch(count: int, folder: Path, scratch: Path) -> Work:
    """Process the objects of a batch job, from one folder into another."""
    from hearth.async_inference.batch import BatchJob, Item
    from hearth.models.cache import warm_cache
    from hearth.storage.open import open_store
    from hearth_functions.text_classification import app

    _use(folder, "sentiment-en", scratch)
    source, output = open_store((folder / "objects").as_uri()), open_store((scratch / "results").as_uri())
    job = BatchJob(app.TASKS, "sentiment-en", source, output, "")
    with warm_cache().get("sentiment-en"):  # loading the model is not measured
        pass

    def work() -> None:
        for number in range(count):
            assert job.process(Item(f"{number}.txt", 1)) is None

    return work


def models(count: int, folder: Path, scratch: Path) -> Work:
    """Load models one after the other, of which ten fit into the cache's memory."""
    from hearth.models.cache import warm_cache

    _use(folder, "", scratch)
    os.environ |= {"HEARTH_CACHE_MEMORY_MB": "10", "HEARTH_CACHE_DISK_MB": "20"}
    with warm_cache().get("sentiment-en"):  # imports are not measured
        pass

    def work() -> None:
        for number in range(count):
            with warm_cache().get(f"model-{number}"):
                pass

    return work


def listing(count: int, folder: Path, scratch: Path) -> Work:
    """List the keys of an S3 bucket page by page; the server generates them."""
    from hearth.storage.open import open_store

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _lister(count))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }

    def work() -> None:
        assert sum(1 for _ in open_store("s3://bucket").iter_paths()) == count

    return work


def _lister(count: int) -> type[http.server.BaseHTTPRequestHandler]:
    class Lister(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            start = int(self.path.partition("continuation-token=")[2].partition("&")[0] or 0)
            stop = min(start + PAGE, count)
            keys = "".join(
                f"<Contents><Key>uploads/model/{number:09}</Key></Contents>" for number in range(start, stop)
            )
            token = f"<NextContinuationToken>{stop}</NextContinuationToken>" if stop < count else ""
            body = f"<ListBucketResult>{keys}{token}</ListBucketResult>".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Lister


def _use(folder: Path, names: str, scratch: Path) -> None:
    os.environ |= {
        "HEARTH_STORE": (folder / "store").as_uri(),
        "HEARTH_MODELS": names,
        "HEARTH_CACHE_DIR": str(scratch / "cache"),
        "HEARTH_LOG_LEVEL": "ERROR",
        "HEARTH_THREADS": "1",
    }


KINDS = {"video": video, "tokens": tokens, "batch": batch, "models": models, "listing": listing}


def make_texts(folder: Path, objects: int, models: int) -> None:
    """Make a store with `sentiment-en` and `models` more of a megabyte each, and texts to classify."""
    make_text_artifact(folder / "store")
    for number in range(models):
        make_text_artifact(folder / "store", f"model-{number}", filler=1_000_000)
    (folder / "objects").mkdir()
    for number in range(objects):
        (folder / "objects" / f"{number}.txt").write_text("this movie is great")


def main() -> None:
    kind, size, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as scratch:
        work = KINDS[kind](size, folder, Path(scratch))
        started = time.process_time()
        work()
        seconds = time.process_time() - started
        print(json.dumps({"seconds": seconds, "per_item_ms": seconds * 1000 / size, "peak_mb": peak_mb(os.getpid())}))


if __name__ == "__main__":
    main()
