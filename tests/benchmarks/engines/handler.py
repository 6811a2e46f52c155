"""What a warm function adds to its work: `handler.py HTTP|direct|FastAPI`, in a Lambda's environment.

Each turn has COUNT calls and as many of the bare work (encode, session.run, decode, called one after the other) and of
session.run alone, alternately, so that all three meet the same machine. Log lines and metrics go to /dev/null.
"""

from __future__ import annotations

import contextvars
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

from tests.benchmarks.engines.turns import serve
from tests.support.artifacts import make_text_artifact
from tests.support.requests import REQUEST_ID, rest_event

MODEL, TEXT = "sentiment-en", "this movie is great"
COUNT = 400
CONTEXT = SimpleNamespace(aws_request_id=REQUEST_ID, get_remaining_time_in_millis=lambda: 900_000)
EVENT = rest_event("POST", f"/models/{MODEL}", json.dumps({"inputs": TEXT}))


def as_lambda(folder: Path) -> None:
    make_text_artifact(folder / "store", MODEL)
    os.environ |= {
        "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "HEARTH_STORE": (folder / "store").as_uri(),
        "HEARTH_MODELS": MODEL,
        "HEARTH_CACHE_DIR": str(folder / "cache"),
    }


def empty_fastapi() -> Callable[[], object]:
    """An async FastAPI app in Mangum that decodes the body and sends it back."""
    import msgspec
    from fastapi import FastAPI, Request, Response
    from mangum import Mangum

    app = FastAPI()

    @app.post("/models/{name}")
    async def echo(name: str, request: Request) -> Response:
        return Response(msgspec.json.encode(msgspec.json.decode(await request.body())))

    handler = Mangum(app, lifespan="off")
    return lambda: handler(EVENT, CONTEXT)  # type: ignore[arg-type]


def ours(kind: str) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """A whole call, its bare work, and session.run alone."""
    from hearth import deadline
    from hearth.models.cache import warm_cache
    from hearth.telemetry import timing
    from hearth_functions.text_classification import app
    from tests.support.asking import predict

    request = app.Request(TEXT)
    with warm_cache().get(MODEL) as model:
        session, feeds = model.session(), app.encode(model, request)
    names = [output.name for output in session.get_outputs()]

    def http() -> None:
        response = app.handler(EVENT, CONTEXT)
        assert response["statusCode"] == 200, response

    def direct() -> None:
        timing.begin()
        deadline.set_from(CONTEXT)
        predict(app, MODEL, request)

    def work() -> object:
        return app.decode(model, request, session.run(names, app.encode(model, request)))

    context = contextvars.copy_context()
    call = http if kind == "HTTP" else lambda: context.run(direct)
    return call, work, lambda: session.run(names, feeds)


def measure(call: Callable[[], object], work: Callable[[], object], run: Callable[[], object]) -> dict[str, float]:
    """Medians: `us` of a call, `over_us` beyond the bare work, `over_run_us` beyond session.run alone; `processor_us`
    is like `over_us`, of processor time, which other work on the machine changes less."""
    all_times: list[list[float]] = [[], [], []]
    all_processor_times: list[list[float]] = [[], [], []]
    for _ in range(COUNT):
        for call_times, processor_times, function in zip(
            all_times, all_processor_times, (call, work, run), strict=True
        ):
            started, processor = time.perf_counter(), time.thread_time()
            function()
            processor_times.append((time.thread_time() - processor) * 1e6)
            call_times.append((time.perf_counter() - started) * 1e6)
    total, bare, alone = map(statistics.median, all_times)
    processor = statistics.median(all_processor_times[0]) - statistics.median(all_processor_times[1])
    return {"us": total, "over_us": total - bare, "over_run_us": total - alone, "processor_us": processor}


def no_work() -> None:
    """Bare work of a handler that only echoes."""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        as_lambda(Path(folder))
        kind = sys.argv[1]
        calls = (empty_fastapi(), no_work, no_work) if kind == "FastAPI" else ours(kind)
        devnull = os.open(os.devnull, os.O_WRONLY)

        def turn() -> dict[str, float]:
            os.dup2(devnull, 1)  # log lines; `serve` has duplicated stdout for figures
            return measure(*calls)

        serve(turn)


if __name__ == "__main__":
    main()
