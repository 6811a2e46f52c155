"""Faults of the process: killed, told to end, out of memory; under Lambda's emulator and the real runtime client."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.faults.lab import PRAISE, TEXT, Lab
from tests.faults.proxy import Call, Fault
from tests.faults.rows import Attempt, Row
from tests.support.artifacts import make_text_artifact
from tests.support.emulator import Emulator
from tests.support.layers import HANDLER, python313
from tests.support.requests import rest_event
from tests.support.storage import eventbridge_event, message, sqs_event

GONE = "the process ended"
BIG = "sentiment-big"
MEGABYTE = 1024 * 1024


def environment(place: Lab) -> dict[str, str]:
    names = ("AWS_ENDPOINT_URL", "HEARTH_STORE", "HEARTH_OUTPUT", "HEARTH_UPLOADS", "HEARTH_DEAD_LETTERS")
    return {name: os.environ[name] for name in names} | {"HEARTH_LOG_LEVEL": "ERROR"}


def invoke(emulator: Emulator, event: dict[str, Any]) -> str:
    answer = emulator.invoke(event)
    try:
        payload: Any = json.loads(answer.raw)
    except ValueError:
        return answer.raw.decode()[:60]
    if "statusCode" in payload:
        body = json.loads(payload["body"])
        return f"{payload['statusCode']} {body.get('error_type', '') if isinstance(body, dict) else ''}".strip()
    if payload.get("errorType", "").startswith("Runtime."):
        return GONE
    return json.dumps(payload)


def asked(model: str = TEXT) -> dict[str, Any]:
    return rest_event("POST", f"/models/{model}", PRAISE)


def at(emulator: Emulator, part: str, number: signal.Signals, *, after: bool = False, late: float = 0) -> Any:
    """A plan: the process gets the signal at the first call with `part` in it; `after` its effect, or seconds later."""
    left = [True]

    def strike() -> None:
        os.kill(emulator.runtime_pid(), number)

    def plan(call: Call) -> Fault | None:
        if not left[0] or part not in f"{call.method} {call.path}":
            return None
        left[0] = False
        if late:
            threading.Timer(late, strike).start()
            return None
        strike()
        return Fault("lost") if after else Fault("reset")

    return plan


def struck(
    emulator: Emulator,
    fault: str,
    where: str,
    plan: Callable[[], Any],
    event: dict[str, Any],
    expected: tuple[str, ...],
) -> Row:
    @contextmanager
    def broken(place: Lab) -> Iterator[Attempt]:
        place.proxy.set(plan())
        yield lambda: invoke(emulator, event)

    return Row(fault, where, expected, broken, lambda _: invoke(emulator, event))


def rows(place: Lab) -> Iterator[Row]:
    variables = environment(place)
    killed, told = signal.SIGKILL, signal.SIGTERM
    for name, number in (("SIGKILL", killed), ("SIGTERM", told)):
        with Emulator.of("text_classification", variables) as emulator:
            plan = lambda number=number, emulator=emulator: at(emulator, "model.bin", number)  # noqa: E731
            yield struck(emulator, name, "in the fetch", plan, asked(), (GONE,))
        with Emulator.of("text_classification", variables) as emulator:
            plan = lambda number=number, emulator=emulator: at(emulator, "model.bin", number, late=0.08)  # noqa: E731
            yield struck(emulator, name, "in the load, about", plan, asked(), (GONE, "200"))
        for after in (False, True):
            with Emulator.of("text_classification", variables) as emulator:
                yield written(place, emulator, name, number, after=after)
    yield from memory(place, variables)


def written(place: Lab, emulator: Emulator, name: str, number: signal.Signals, *, after: bool) -> Row:
    """An upload whose result is being written; then its message's next delivery."""
    key = f"uploads/{TEXT}/{name}-{after}"
    event = sqs_event(message(eventbridge_event("inbox", *place.upload(key, b"good")), "m", 2))

    def again(place: Lab) -> str:
        answer = invoke(emulator, event)
        results = place.results(key)
        one = len(results) == 2 and set(results.values()) == {1}
        return "200" if one and json.loads(answer) == {"batchItemFailures": []} else f"{answer} {results}"

    where = f"in the write, {'after' if after else 'before'} its effect"
    plan = lambda: at(emulator, "PUT /outbox", number, after=after)  # noqa: E731
    made = struck(emulator, name, where, plan, event, (GONE,))
    return Row(made.fault, made.where, made.expected, made.broken, again)


def memory(place: Lab, variables: dict[str, str]) -> Iterator[Row]:
    """A model larger than the address space that the process may have."""
    folder = place.scratch / "big"
    make_text_artifact(folder, BIG, rows=160 * MEGABYTE // 8)
    (folder / BIG / "aliases.json").write_text('{"prod": {"version": "1"}}')
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        place.s3.put_object(Bucket="artifacts", Key=f"models/{path.relative_to(folder)}", Body=path.read_bytes())
    shutil.rmtree(folder)
    limited = [shutil.which("prlimit") or "prlimit", f"--as={512 * MEGABYTE}"]
    whole = Emulator.of("text_classification", variables, timeout_s=120)
    whole.runtime = [*limited, str(python313()), "-m", "awslambdaric", HANDLER]
    with whole as emulator:
        made = struck(
            emulator,
            "the memory limit",
            "in the load",
            lambda: None,
            asked(BIG),
            ("503 unavailable", GONE),
        )
        yield Row(made.fault, made.where, made.expected, made.broken, lambda _: invoke(emulator, asked()))
