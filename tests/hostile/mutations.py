"""What makes a right request wrong: its JSON, its bytes, its headers, its path."""

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
LONG = 3000
"""Copies of a word in a text that is too long."""


def raw(base: Base) -> bytes:
    """The body."""
    if isinstance(base.body, bytes):
        return base.body
    return b"" if base.body is None else json.dumps(base.body, ensure_ascii=False).encode()


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) in the document."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in list(pairs):
        yield document, key
        yield from places(value)


def _values(random: Random, word: str) -> Any:
    kinds: list[Any] = [
        word,
        word.encode().hex(),
        [word],
        {word: word},
        [[word]] * 3,
        word * LONG,
        "",
        [],
        {},
        *NUMBERS,
    ]
    return random.choice(kinds)


def other_value(random: Random, base: Base, word: str, name: str) -> Base:
    body = copy.deepcopy(base.body)
    found = list(places(body))
    if not found:
        return replace(base, body=_values(random, word))
    container, key = random.choice(found)
    container[key] = _values(random, word)
    return replace(base, body=body)


def other_name(random: Random, base: Base, word: str, name: str) -> Base:
    """A field more, under a name of the client's own; or one less."""
    body = copy.deepcopy(base.body)
    objects = [body, *(container[key] for container, key in places(body))]
    chosen = random.choice([part for part in objects if isinstance(part, dict)] or [{}])
    if chosen and random.random() < 0.3:
        del chosen[random.choice(list(chosen))]
    else:
        chosen[name] = _values(random, word)
    return replace(base, body=body)


def other_bytes(random: Random, base: Base, word: str, name: str) -> Base:
    """A body that is no JSON, or no file, any more."""
    body, secret = raw(base), word.encode()
    at = random.randrange(len(body) + 1)
    made = (
        lambda: body[:at],
        lambda: body[:at] + secret + body[at:],
        lambda: body[:at] + bytes(random.randrange(256) for _ in range(4)) + body[at:],
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
    return replace(base, body=random.choice(made)())


def other_headers(random: Random, base: Base, word: str, name: str) -> Base:
    short = word.encode("ascii", "ignore").decode()[:60]
    made: tuple[dict[str, str], ...] = (
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
    return replace(base, headers={**base.headers, **random.choice(made)})


def squeezed(random: Random, base: Base, word: str, name: str) -> Base:
    """As gzip, or cut off, or said to be so."""
    body = gzip.compress(raw(base), 1)
    body = random.choice((body, body[: len(body) // 2], raw(base), body + word.encode()))
    return replace(base, body=body, headers={**base.headers, "content-encoding": random.choice(("gzip", "deflate"))})


def other_place(random: Random, base: Base, word: str, name: str) -> Base:
    """Another model, task, version, route or method; words in the query."""
    parts = base.path.split("/")
    parts[random.randrange(1, len(parts))] = random.choice((name, name.upper(), "", "..", "%00", "prod@" + name))
    made = (
        replace(base, path="/".join(parts)),
        replace(base, path=base.path + "/" + name),
        replace(base, method=random.choice(("PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "GET"))),
        replace(base, query={"top_k": word, name: word}),
        replace(base, query={"threshold": "0.5"}),
    )
    return random.choice(made)


def other_model(random: Random, base: Base, word: str, name: str) -> Base:
    """What a model's name is in the body, another."""
    if not isinstance(base.body, dict) or "model" not in base.body:
        return other_name(random, base, word, name)
    return replace(base, body={**base.body, "model": random.choice((name, f"{name}@{name}", f"sentiment-en@{name}"))})


def as_it_is(random: Random, base: Base, word: str, name: str) -> Base:
    return base


Mutation = Callable[[Random, Base, str, str], Base]
MUTATIONS: tuple[Mutation, ...] = (
    *(
        as_it_is,
        as_it_is,
        other_value,
        other_value,
        other_name,
        other_bytes,
        other_headers,
        squeezed,
        other_place,
        other_model,
    ),
)


def mutated(random: Random, base: Base, word: str, name: str) -> Base:
    """The request with one or two things changed; `word` is what it says, `name` what it calls things."""
    for _ in range(random.choice((1, 1, 2))):
        base = random.choice(MUTATIONS)(random, base, word, name)
    return base
