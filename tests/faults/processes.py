"""Faults of the process: killed, terminated, out of memory; under Lambda's emulator and the real runtime client."""

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

PROCESS_ENDED = "the process ended"
LARGE_MODEL = "sentiment-big"
MEGABYTE = 1024 * 1024


def environment(lab: Lab) -> dict[str, str]:
    names = ("AWS_ENDPOINT_URL", "HEARTH_STORE", "HEARTH_OUTPUT", "HEARTH_UPLOADS", "HEARTH_DEAD_LETTERS")
    return {name: os.environ[name] for name in names} | {"HEARTH_LOG_LEVEL": "ERROR"}


def invoke(emulator: Emulator, event: dict[str, Any]) -> str:
    response = emulator.invoke(event)
    try:
        payload: Any = json.loads(response.raw)
    except ValueError:
        return response.raw.decode()[:60]
    if "statusCode" in payload:
        body = json.loads(payload["body"])
        return f"{payload['statusCode']} {body.get('error_type', '') if isinstance(body, dict) else ''}".strip()
    if payload.get("errorType", "").startswith("Runtime."):
        return PROCESS_ENDED
    return json.dumps(payload)


def text_request(model: str = TEXT) -> dict[str, Any]:
    return rest_event("POST", f"/models/{model}", PRAISE)


def signal_at(
    emulator: Emulator, call_part: str, signum: signal.Signals, *, after: bool = False, delay: float = 0
) -> Any:
    """A plan that sends a signal at the first call that contains `call_part`: before it, `after` its effect, or `delay`
    seconds later."""
    pending = [True]

    def send_signal() -> None:
        os.kill(emulator.runtime_pid(), signum)

    def plan(call: Call) -> Fault | None:
        if not pending[0] or call_part not in f"{call.method} {call.path}":
            return None
        pending[0] = False
        if delay:
            threading.Timer(delay, send_signal).start()
            return None
        send_signal()
        return Fault("lost") if after else Fault("reset")

    return plan


def signal_row(
    emulator: Emulator,
    fault: str,
    target: str,
    plan: Callable[[], Any],
    event: dict[str, Any],
    expected: tuple[str, ...],
) -> Row:
    @contextmanager
    def inject(lab: Lab) -> Iterator[Attempt]:
        lab.proxy.set(plan())
        yield lambda: invoke(emulator, event)

    return Row(fault, target, expected, inject, lambda _: invoke(emulator, event))


def rows(lab: Lab) -> Iterator[Row]:
    variables = environment(lab)
    sigkill, sigterm = signal.SIGKILL, signal.SIGTERM
    for name, signum in (("SIGKILL", sigkill), ("SIGTERM", sigterm)):
        with Emulator.of("text_classification", variables) as emulator:
            plan = lambda signum=signum, emulator=emulator: signal_at(emulator, "model.bin", signum)  # noqa: E731
            yield signal_row(emulator, name, "in the download", plan, text_request(), (PROCESS_ENDED,))
        with Emulator.of("text_classification", variables) as emulator:
            plan = lambda signum=signum, emulator=emulator: signal_at(emulator, "model.bin", signum, delay=0.08)  # noqa: E731
            yield signal_row(emulator, name, "in the load, approximately", plan, text_request(), (PROCESS_ENDED, "200"))
        for after in (False, True):
            with Emulator.of("text_classification", variables) as emulator:
                yield write_row(lab, emulator, name, signum, after=after)
    yield from memory_rows(lab, variables)


def write_row(lab: Lab, emulator: Emulator, name: str, signum: signal.Signals, *, after: bool) -> Row:
    """A signal while the result of an upload is written, then the next delivery of its message."""
    key = f"uploads/{TEXT}/{name}-{after}"
    event = sqs_event(message(eventbridge_event("inbox", *lab.upload(key, b"good")), "m", 2))

    def redeliver(lab: Lab) -> str:
        response = invoke(emulator, event)
        counts = lab.result_counts(key)
        has_one_result = len(counts) == 2 and set(counts.values()) == {1}
        return "200" if has_one_result and json.loads(response) == {"batchItemFailures": []} else f"{response} {counts}"

    target = f"in the write, {'after' if after else 'before'} its effect"
    plan = lambda: signal_at(emulator, "PUT /outbox", signum, after=after)  # noqa: E731
    base = signal_row(emulator, name, target, plan, event, (PROCESS_ENDED,))
    return Row(base.fault, base.target, base.expected, base.inject, redeliver)


def memory_rows(lab: Lab, variables: dict[str, str]) -> Iterator[Row]:
    """A model larger than the address space that the process may use."""
    folder = lab.scratch / "big"
    make_text_artifact(folder, LARGE_MODEL, rows=160 * MEGABYTE // 8)
    (folder / LARGE_MODEL / "aliases.json").write_text('{"prod": {"version": "1"}}')
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        lab.s3.put_object(Bucket="artifacts", Key=f"models/{path.relative_to(folder)}", Body=path.read_bytes())
    shutil.rmtree(folder)
    command = [shutil.which("prlimit") or "prlimit", f"--as={512 * MEGABYTE}"]
    limited_emulator = Emulator.of("text_classification", variables, timeout_s=120)
    limited_emulator.runtime = [*command, str(python313()), "-m", "awslambdaric", HANDLER]
    with limited_emulator as emulator:
        base = signal_row(
            emulator,
            "the memory limit",
            "in the load",
            lambda: None,
            text_request(LARGE_MODEL),
            ("503 unavailable", PROCESS_ENDED),
        )
        yield Row(base.fault, base.target, base.expected, base.inject, lambda _: invoke(emulator, text_request()))
