"""Hypothesis strategies for events of every shape: mutated valid ones and arbitrary ones."""

from __future__ import annotations

import base64
import copy
import functools
import json
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from tests.clients.bridge import FORMS, to_event
from tests.events import event
from tests.hostile.bases import Base, bases
from tests.hostile.mutations import locations, mutate, raw

TEXT, NAME = "wonderful film 我非常喜欢", "no-such-model"
TRIGGERS = ("s3-put", "sqs-s3", "sqs-eventbridge", "eventbridge-object-created", "s3-test-event", "ping")
OTHER_TRIGGERS = ("step-functions-batch", "golden", "direct", "codedeploy-hook")
KEYS = ("uploads/sentiment-en/1.txt", "uploads/nothing/1", "uploads/", "results/x", "uploads/a/../../b", "uploads/é/\0")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON including NaN and infinity, which a runtime that parses events in Python accepts."""
known = st.sampled_from(
    [
        "httpMethod",
        "requestContext",
        "Records",
        "source",
        "ping",
        "golden",
        "batch",
        "body",
        "headers",
        "Event",
        "detail",
    ]
)
event_like = st.dictionaries(
    known | st.text(max_size=8), junk | st.sampled_from(["aws.s3", "POST", "/", True]), max_size=6
)
"""Objects with the field names that the handler looks for."""


@functools.cache
def _bases() -> list[Base]:
    return bases(TEXT, NAME)


def target(base: Base) -> str:
    return quote(base.path, safe="/@%-._") + ("?" + urlencode(base.query) if base.query else "")


def front_door_event(form: str, base: Base) -> dict[str, Any]:
    """The event of a request. API Gateway sends bodies that claim to be text but are not UTF-8."""
    try:
        return to_event(form, base.method, target(base), list(base.headers.items()), raw(base))
    except UnicodeDecodeError:
        return to_event("rest-v1", base.method, target(base), list(base.headers.items()), raw(base))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """(protocol, event) of a mutated request through any front door."""
    random = Random(draw(st.integers(0, 2**32)))
    base = draw(st.sampled_from(_bases()))
    return base.protocol, front_door_event(draw(st.sampled_from(FORMS)), mutate(random, base, TEXT, NAME))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Like `requests`, with arbitrary JSON, text or bytes as the body."""
    base = draw(st.sampled_from([base for base in _bases() if base.method == "POST"]))
    http_event = front_door_event("rest-v1", base)
    body = draw(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | junk.map(repr).map(str.encode))
    return base.protocol, http_event | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _spoil(draw: st.DrawFn, payload: Any) -> Any:
    """Fill one or two fields with junk, or delete them."""
    payload = copy.deepcopy(payload)
    for _ in range(draw(st.integers(1, 2))):
        candidates = list(locations(payload))
        if not candidates:
            return payload
        container, key = draw(st.sampled_from(candidates))
        if isinstance(container, dict) and draw(st.booleans()):
            container.pop(key, None)
        else:
            container[key] = draw(junk)
    return payload


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """The event of a request, damaged so that no front door would send it."""
    base = draw(st.sampled_from(_bases()))
    return "envelope", _spoil(draw, front_door_event(draw(st.sampled_from(FORMS)), base))


@st.composite
def stored(draw: st.DrawFn) -> tuple[str, Any]:
    """Events of S3, EventBridge, SNS and SQS about existing or missing objects, half of them damaged inside or outside
    of their envelope."""
    storage_event = event(
        draw(st.sampled_from(TRIGGERS)), bucket="uploads", key=draw(st.sampled_from(KEYS)), version_id="", etag=""
    )
    damage = draw(st.sampled_from(("", "", "inside", "outside")))
    if damage == "inside":
        storage_event = _spoil(draw, storage_event)
    storage_event = draw(st.sampled_from(ENVELOPES))(storage_event)
    return "storage", _spoil(draw, storage_event) if damage == "outside" else storage_event


def _notification(payload: Any) -> dict[str, Any]:
    """An event as the message of an SNS topic."""
    message = {"Type": "Notification", "MessageId": "n", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Subject": "s"}
    return {**message, "Message": json.dumps(payload)}


def _topic(payload: Any) -> dict[str, Any]:
    """An event as SNS delivers it to a function."""
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": _notification(payload)}]}


def _queue(payload: Any) -> dict[str, Any]:
    """An event as SQS delivers it, twice in one batch."""
    record = {"eventSource": "aws:sqs", "body": json.dumps(payload), "attributes": {"ApproximateReceiveCount": "1"}}
    arn = "arn:aws:sqs:us-east-1:1:queue"
    return {"Records": [{**record, "messageId": f"m{number}", "eventSourceARN": arn} for number in range(2)]}


ENVELOPES = (lambda payload: payload, _topic, lambda payload: _queue(_notification(payload)), _queue)


@st.composite
def others(draw: st.DrawFn) -> tuple[str, Any]:
    """Damaged events of batches, golden checks, direct calls and deployments."""
    values = {"model": draw(st.sampled_from(("sentiment-en", "squares", "table", NAME)))}
    name = draw(st.sampled_from(OTHER_TRIGGERS))
    return "other", _spoil(draw, event(name, **values) if name == "step-functions-batch" else event(name))


anything = st.tuples(st.just("junk"), junk | event_like)
