"""How a request goes through the packages: `python -m tests.architecture.count_moves` prints the table of docs/design.md.

Warm requests are traced call by call. A package is entered with the first call of one of its functions; a move is a call
into another package than the one of the call before; a return is a move into a package that was left before. The ground
(errors, settings, deadline, strict JSON, the task table, telemetry, authentication), which everything uses, is not
counted. Standard library and third parties are passed over.
"""

from __future__ import annotations

import importlib
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
GROUND = {"__init__", "auth", "bootstrap", "deadline", "errors", "settings", "strict_json", "task_table", "telemetry"}
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
    """Of packages."""


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


def count(places: list[str]) -> Count:
    """Of the places of calls, in their order."""
    entered = places[:1]
    moves = returns = 0
    for before, after in zip(places, places[1:], strict=False):
        if before != after:
            moves += 1
            returns += after in entered
            entered.append(after)
    return Count(len(set(entered)), moves, returns)


def trace(work: Callable[[], object]) -> list[tuple[str, str]]:
    """The package and the module of each call of our code that `work` leads to, on this thread."""
    calls: list[tuple[str, str]] = []

    def note(frame: FrameType, kind: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if kind != "call" or not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / "tests"):
            return
        if path.is_relative_to(RUNTIME):
            module = path.relative_to(RUNTIME).with_suffix("")
            if module.parts[0] not in GROUND:
                calls.append((module.parts[0], str(module)))
        elif path.is_relative_to(ROOT / "functions"):
            calls.append(("the function", "the function"))

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def prepare(folder: Path) -> None:
    """Let this process serve the zoo, with uploads and results below `folder`."""
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
    """Packages and modules of one warm request."""
    handler = importlib.import_module(f"hearth_functions.{scenario.function}.app").handler

    def ask() -> None:
        if "Records" in scenario.event:
            answer = handler(scenario.event, None)
            assert answer == {"batchItemFailures": []}, answer
            return
        response = handler.respond(scenario.event, None, streams=True)
        body = response.body if isinstance(response.body, bytes) else b"".join(response.body)
        assert response.status == 200, body

    for _ in range(WARM_UP):
        ask()
        shutil.rmtree(folder / "results", ignore_errors=True)  # an upload is answered once
    calls = trace(ask)
    return count([package for package, _ in calls]), count([module for _, module in calls])


def table(folder: Path) -> str:
    prepare(folder)
    lines = [
        "| warm request | packages entered | moves | returns | modules entered | moves | returns |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for scenario in SCENARIOS:
        counts = [str(number) for each in measure(scenario, folder) for number in each]
        lines.append(f"| {scenario.name} | {' | '.join(counts)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as work:
        print(table(Path(work)))
