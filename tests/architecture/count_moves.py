"""Count how a request moves through the packages.

`python -m tests.architecture.count_moves` prints the table of docs/design.md. Warm requests are traced call by call. A
package is entered with the first call of one of its functions. A move is a call into another package than that of the
previous call. A return is a move into a package that was entered before. The foundation (errors, settings, deadline,
strict JSON, the task table, telemetry, authentication), which everything uses, is not counted. The standard library and
third-party packages are ignored.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from tests.support import ROOT
from tests.support.requests import rest_event

RUNTIME = ROOT / "layers/runtime/python/hearth"
FOUNDATION = {
    "__init__",
    "auth",
    "bootstrap",
    "deadline",
    "errors",
    "settings",
    "strict_json",
    "task_table",
    "telemetry",
}
WARM_UP = 3
UPLOAD = {
    "version": "0",
    "source": "aws.s3",
    "detail-type": "Object Created",
    "detail": {"bucket": {"name": "inbox"}, "object": {"key": "uploads/sentiment-en/a.txt", "size": 17}},
}
MESSAGE = {
    "messageId": "1",
    "eventSource": "aws:sqs",
    "body": json.dumps(UPLOAD),
    "attributes": {"ApproximateReceiveCount": "1"},
    "eventSourceARN": "arn:aws:sqs:us-east-1:1:inbox",
    "receiptHandle": "handle",
}
CHAT = {"model": "gpt-shakespeare", "messages": [{"role": "user", "content": "Who?"}], "max_tokens": 3, "stream": True}


class Count(NamedTuple):
    entered: int
    moves: int
    returns: int


class Scenario(NamedTuple):
    name: str
    function: str
    event: dict[str, Any]
    at_most: Count
    """Limits for the packages."""


SCENARIOS = (
    Scenario(
        "REST, text classification",
        "text_classification",
        rest_event("POST", "/models/sentiment-en", '{"inputs": "A wonderful film."}'),
        Count(8, 18, 10),
    ),
    Scenario("S3 upload through EventBridge and SQS", "text_classification", {"Records": [MESSAGE]}, Count(8, 22, 14)),
    Scenario(
        "streamed OpenAI chat of 3 tokens",
        "text_generation",
        rest_event("POST", "/v1/chat/completions", json.dumps(CHAT)),
        Count(8, 50, 45),
    ),
)


def count(names: list[str]) -> Count:
    """Count the moves between the packages (or modules) of successive calls."""
    entered = names[:1]
    moves = returns = 0
    for previous, current in itertools.pairwise(names):
        if previous != current:
            moves += 1
            returns += current in entered
            entered.append(current)
    return Count(len(set(entered)), moves, returns)


def trace(work: Callable[[], object]) -> list[tuple[str, str]]:
    """Run `work`; return the package and the module of each call of our code on this thread."""
    calls: list[tuple[str, str]] = []

    def record_call(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event != "call" or not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "tests"):
            return
        if path.is_relative_to(RUNTIME):
            module = path.relative_to(RUNTIME).with_suffix("")
            if module.parts[0] not in FOUNDATION:
                calls.append((module.parts[0], str(module)))
        elif path.is_relative_to(ROOT / "functions"):
            calls.append(("the function", "the function"))

    sys.setprofile(record_call)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def prepare(folder: Path) -> None:
    """Configure this process to serve the zoo, with uploads and results below `folder`."""
    from hearth_build import ZOO

    os.environ |= {
        "HEARTH_STORE": ZOO.as_uri(),
        "HEARTH_CACHE_DIR": str(folder / "cache"),
        "HEARTH_UPLOADS": f"file://{folder}/uploads",
        "HEARTH_OUTPUT": f"file://{folder}/results",
        "HEARTH_LOG_LEVEL": "ERROR",
    }
    upload = folder / "uploads/uploads/sentiment-en/a.txt"
    upload.parent.mkdir(parents=True)
    upload.write_text("A wonderful film.")


def measure(scenario: Scenario, folder: Path) -> tuple[Count, Count]:
    """Count packages and modules of one warm request."""
    handler = importlib.import_module(f"hearth_functions.{scenario.function}.app").handler

    def send_request() -> None:
        if "Records" in scenario.event:
            result = handler(scenario.event, None)
            assert result == {"batchItemFailures": []}, result
            return
        response = handler.respond(scenario.event, None, streams=True)
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        assert response.status == 200, body

    for _ in range(WARM_UP):
        send_request()
        shutil.rmtree(folder / "results", ignore_errors=True)  # the result of an upload is written only once
    calls = trace(send_request)
    return count([package for package, _ in calls]), count([module for _, module in calls])


def table(folder: Path) -> str:
    prepare(folder)
    lines = [
        "| warm request | packages entered | moves | returns | modules entered | moves | returns |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for scenario in SCENARIOS:
        counts = [str(number) for count in measure(scenario, folder) for number in count]
        lines.append(f"| {scenario.name} | {' | '.join(counts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(table(Path(folder)))
