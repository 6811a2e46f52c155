"""The Open Inference Protocol, version 2."""

from __future__ import annotations

import msgspec

from hearth.call import Answer, Call, Dialect, Route
from hearth.errors import HearthError


class Failure(msgspec.Struct, frozen=True):
    error: str


class Health(msgspec.Struct, frozen=True):
    live: bool
    ready: bool


def error(failure: HearthError, request_id: str) -> bytes:
    return msgspec.json.encode(Failure(failure.message))


def health(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Health(live=True, ready=True)))


DIALECT = Dialect(
    name="oip",
    prefixes=("/v2",),
    routes=(
        Route("GET", "/v2/health/live", health, "Whether the process answers", gives=Health),
        Route("GET", "/v2/health/ready", health, "Whether it would take a request", gives=Health),
    ),
    error=error,
    failure=Failure,
)
