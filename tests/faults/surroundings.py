"""Faults of the function's environment: settings and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

from hearth_functions.text_classification import app as text
from tests.faults.lab import CONTEXT, PRAISE, TEXT, Lab, status_and_code, variables
from tests.faults.proxy import Fault
from tests.faults.rows import Row, proxy_fault, row
from tests.support.requests import rest_event

INVALID_SETTINGS = {
    "HEARTH_STORE": "http://x",
    "HEARTH_MODELS": "../up",
    "HEARTH_CACHE_MEMORY_MB": "much",
    "HEARTH_CACHE_DISK_MB": "nan",
    "HEARTH_THREADS": "0",
    "HEARTH_OUTPUT": "results",
    "HEARTH_UPLOADS": "s3://bucket/prefix",
    "HEARTH_DEAD_LETTERS": "letters",
    "HEARTH_DELIVERIES": "0",
    "HEARTH_MAX_BODY_MB": "-1",
    "HEARTH_ALIAS_SECONDS": "soon",
    "HEARTH_FETCH_SECONDS": "0",
    "HEARTH_STREAM": "alb",
    "HEARTH_API_KEYS": "[1]",
    "HEARTH_AUDIT": "there",
    "HEARTH_VERIFY_KEYS": "no key",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "big",
}


def call_with_little_time(lab: Lab) -> str:
    """Call the text model with 1.5 seconds left, of which half a second is the safety margin."""
    context = SimpleNamespace(**vars(CONTEXT), get_remaining_time_in_millis=lambda: 1500)
    status, code = status_and_code(text.handler(rest_event("POST", f"/models/{TEXT}", PRAISE), context))
    return f"{status} {code}".strip()


def rows(lab: Lab) -> Iterator[Row]:
    for name, value in INVALID_SETTINGS.items():
        yield row(
            f"`{value}`", f"`{name}`", "500 settings_error", lambda lab, n=name, v=value: variables(lab, **{n: v})
        )
    slow = Fault("slow", 100_000)
    yield proxy_fault(
        "the deadline, in a download",
        "model.bin",
        slow,
        ("504 timeout", "503 store_error", "503 loading"),
        attempt=call_with_little_time,
    )
