"""Routes of large inputs: leave to upload, the result of what was uploaded, its removal."""

from __future__ import annotations

from typing import Any

import msgspec

from hearth.async_inference import uploads
from hearth.protocols.base import Answer, Call, Route

PAUSE = "2"
"""Seconds after which to ask again for a result."""


def admit(call: Call) -> Answer:
    return Answer(msgspec.json.encode(uploads.admit(call.body)), headers={"Cache-Control": "no-store"}, status=201)


def result(call: Call) -> Answer:
    name = call.path["id"]
    document = uploads.result(name)
    if document is None:
        return Answer(msgspec.json.encode(uploads.Waiting(name)), headers={"Retry-After": PAUSE}, status=202)
    return Answer(document)


def remove(call: Call) -> Answer:
    uploads.delete(call.path["id"])
    return Answer(b"", status=204)


ROUTES = (
    Route("POST", "/uploads", admit, "Leave to upload a large input", uploads.Wish, answers={201: uploads.Ticket}),
    Route("GET", "/results/{id}", result, "The result of an upload", answers={200: Any, 202: uploads.Waiting}),
    Route("DELETE", "/results/{id}", remove, "Remove an upload and its result", answers={204: None}),
)
