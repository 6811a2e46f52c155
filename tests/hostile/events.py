"""Hypothesis strategies for events of every shape, right ones made wrong and such that were never right."""

from __future__ import annotations

import base64
import copy
import functools
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from tests.clients.bridge import FORMS, to_event
from tests.events import event
from tests.hostile.bases import Base, bases
from tests.hostile.mutations import mutated, places, raw

WORD, NAME = "wonderful film 我非常喜欢", "no-such-model"
TRIGGERS = ("s3-put", "sqs-s3", "sqs-eventbridge", "eventbridge-object-created", "s3-test-event", "ping")
KEYS = ("uploads/sentiment-en/1.txt", "uploads/nothing/1", "uploads/", "results/x", "uploads/a/../../b", "uploads/é/\0")

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON, and NaN and infinity with it, as a runtime that parses events in Python lets in."""
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
shaped = st.dictionaries(known | st.text(max_size=8), junk | st.sampled_from(["aws.s3", "POST", "/", True]), max_size=6)
"""Objects with the names that the handler looks for."""


@functools.cache
def _bases() -> list[Base]:
    return bases(WORD, NAME)


def target(base: Base) -> str:
    return quote(base.path, safe="/@%-._") + ("?" + urlencode(base.query) if base.query else "")


def enveloped(form: str, base: Base) -> dict[str, Any]:
    """The event of a request; what calls itself text and is none comes through API Gateway alone."""
    try:
        return to_event(form, base.method, target(base), list(base.headers.items()), raw(base))
    except UnicodeDecodeError:
        return to_event("rest-v1", base.method, target(base), list(base.headers.items()), raw(base))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """(dialect, event) of a request that is nearly right, through any front door."""
    random = Random(draw(st.integers(0, 2**32)))
    base = draw(st.sampled_from(_bases()))
    return base.dialect, enveloped(draw(st.sampled_from(FORMS)), mutated(random, base, WORD, NAME))


@st.composite
def bodies(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """As `requests`, with any JSON, text or bytes at all as the body."""
    base = draw(st.sampled_from([base for base in _bases() if base.method == "POST"]))
    made = enveloped("rest-v1", base)
    body = draw(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | junk.map(repr).map(str.encode))
    return base.dialect, made | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _spoilt(draw: st.DrawFn, made: Any) -> Any:
    """One or two places in it filled with junk, or emptied."""
    made = copy.deepcopy(made)
    for _ in range(draw(st.integers(1, 2))):
        found = list(places(made))
        if not found:
            return made
        container, key = draw(st.sampled_from(found))
        if isinstance(container, dict) and draw(st.booleans()):
            container.pop(key, None)
        else:
            container[key] = draw(junk)
    return made


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request's event that no front door would send."""
    base = draw(st.sampled_from(_bases()))
    return "envelope", _spoilt(draw, enveloped(draw(st.sampled_from(FORMS)), base))


@st.composite
def stored(draw: st.DrawFn) -> tuple[str, Any]:
    """Events of S3, EventBridge and SQS about objects that are there or not, half of them spoilt."""
    made = event(
        draw(st.sampled_from(TRIGGERS)), bucket="uploads", key=draw(st.sampled_from(KEYS)), version_id="", etag=""
    )
    return "storage", _spoilt(draw, made) if draw(st.booleans()) else made


anything = st.tuples(st.just("junk"), junk | shaped)
