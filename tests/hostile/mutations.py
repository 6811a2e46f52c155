"""Mutations of valid requests: of JSON, bytes, headers and path."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from tests.hostile.bases import Base

NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, True, False, None)
REPETITIONS = 3000
"""Number of repetitions of the text in a text that is too long."""


def raw(base: Base) -> bytes:
    """The body as bytes."""
    if isinstance(base.body, bytes):
        return base.body
    return b"" if base.body is None else json.dumps(base.body, ensure_ascii=False).encode()


def locations(document: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each (container, key) in the document."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(pairs):
        yield document, key
        yield from locations(value)


def _random_value(random: Random, text: str) -> Any:
    values: list[Any] = [
        text,
        text.encode().hex(),
        [text],
        {text: text},
        [[text]] * 3,
        text * REPETITIONS,
        "",
        [],
        {},
        *NUMBERS,
    ]
    return random.choice(values)


def change_value(random: Random, base: Base, text: str, name: str) -> Base:
    body = copy.deepcopy(base.body)
    candidates = list(locations(body))
    if not candidates:
        return replace(base, body=_random_value(random, text))
    container, key = random.choice(candidates)
    container[key] = _random_value(random, text)
    return replace(base, body=body)


def change_field(random: Random, base: Base, text: str, name: str) -> Base:
    """Add a field called `name`, or delete one."""
    body = copy.deepcopy(base.body)
    values = [body, *(container[key] for container, key in locations(body))]
    target = random.choice([value for value in values if isinstance(value, dict)] or [{}])
    if target and random.random() < 0.3:
        del target[random.choice(list(target))]
    else:
        target[name] = _random_value(random, text)
    return replace(base, body=body)


def change_bytes(random: Random, base: Base, text: str, name: str) -> Base:
    """Damage the body so that it is no longer valid JSON or a valid file."""
    body, secret = raw(base), text.encode()
    position = random.randrange(len(body) + 1)
    variants = (
        lambda: body[:position],
        lambda: body[:position] + secret + body[position:],
        lambda: body[:position] + bytes(random.randrange(256) for _ in range(4)) + body[position:],
        lambda: body + secret,
        lambda: b'{"inputs": "' + secret + b'\xff"}',
        lambda: b'{"inputs": "' + secret + b'\\ud800"}',
        lambda: b'{"inputs": NaN, "parameters": "' + secret + b'"}',
        lambda: b'{"inputs": 1e999, "x": "' + secret + b'"}',
        lambda: b'{"inputs": "' + secret + b'", "inputs": "' + secret + b'"}',
        lambda: b"[" * 3000 + b'"' + secret + b'"' + b"]" * 3000,
        lambda: b'"' + secret + b'"',
        lambda: body.decode("latin-1").encode("utf-16"),
        lambda: secret * 5 + b"\0",
    )
    return replace(base, body=random.choice(variants)())


def change_headers(random: Random, base: Base, text: str, name: str) -> Base:
    short = text.encode("ascii", "ignore").decode()[:60]
    variants: tuple[dict[str, str], ...] = (
        {"content-type": short},
        {"content-type": "text/plain; charset=" + short},
        {"content-type": "multipart/form-data; boundary=" + short},
        {"content-encoding": short},
        {"accept": short, "accept-language": short, "user-agent": short},
        {"authorization": f"Bearer {short}", "cookie": f"s={short}", "x-api-key": short},
        {"x-amzn-sagemaker-target-model": name, "x-amzn-sagemaker-target-variant": name},
        {"inference-header-content-length": short},
        {"inference-header-content-length": str(random.choice([0, 5, 10**9, -1]))},
        {"x-amzn-trace-id": short, "traceparent": short, "x-request-id": short, "x-forwarded-for": short},
        {f"x-{name[:40]}": short, "host": short, "referer": short, "expect": short},
    )
    return replace(base, headers={**base.headers, **random.choice(variants)})


def compress(random: Random, base: Base, text: str, name: str) -> Base:
    """Send the body as gzip, truncated gzip, or uncompressed with the header."""
    body = gzip.compress(raw(base), 1)
    body = random.choice((body, body[: len(body) // 2], raw(base), body + text.encode()))
    return replace(base, body=body, headers={**base.headers, "content-encoding": random.choice(("gzip", "deflate"))})


def change_route(random: Random, base: Base, text: str, name: str) -> Base:
    """Use another model, task, version, route or method, or put text in the query."""
    segments = base.path.split("/")
    segments[random.randrange(1, len(segments))] = random.choice((name, name.upper(), "", "..", "%00", "prod@" + name))
    variants = (
        replace(base, path="/".join(segments)),
        replace(base, path=base.path + "/" + name),
        replace(base, method=random.choice(("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "GET"))),
        replace(base, query={"top_k": text, name: text}),
        replace(base, query={"threshold": "0.5"}),
    )
    return random.choice(variants)


def change_model(random: Random, base: Base, text: str, name: str) -> Base:
    """Replace the model's name in the body."""
    if not isinstance(base.body, dict) or "model" not in base.body:
        return change_field(random, base, text, name)
    return replace(base, body={**base.body, "model": random.choice((name, f"{name}@{name}", f"sentiment-en@{name}"))})


def unchanged(random: Random, base: Base, text: str, name: str) -> Base:
    return base


Mutation = Callable[[Random, Base, str, str], Base]
MUTATIONS: tuple[Mutation, ...] = (
    *(
        unchanged,
        unchanged,
        change_value,
        change_value,
        change_field,
        change_bytes,
        change_headers,
        compress,
        change_route,
        change_model,
    ),
)


def mutate(random: Random, base: Base, text: str, name: str) -> Base:
    """The request with one or two mutations; `text` is its content, `name` a name for models and fields."""
    for _ in range(random.choice((1, 1, 2))):
        base = random.choice(MUTATIONS)(random, base, text, name)
    return base
