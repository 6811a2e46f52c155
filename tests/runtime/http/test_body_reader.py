"""Compressed bodies: several members, hostile ones, and what is counted of them."""

from __future__ import annotations

import gzip
import time
import zlib
from pathlib import Path

import pytest

from hearth import settings
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.http.pipeline import MAX_MEMBERS, BodyReader

TEXT = b"a text " * 1000


def read(body: bytes, encoding: str = "gzip", size: int = 100) -> bytes:
    """Read a body that arrives in chunks of `size` bytes."""
    reader = BodyReader({"content-encoding": encoding})
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    return reader.finish()


@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
def test_all_members_of_a_gzip_body_are_read(serving: Path, size: int) -> None:
    body = b"".join(gzip.compress(TEXT[start : start + 900]) for start in range(0, len(TEXT), 900))
    assert read(body, size=size) == TEXT
    assert read(zlib.compress(TEXT), "deflate", size) == TEXT


@pytest.mark.parametrize(
    "body",
    [gzip.compress(TEXT)[:-1], gzip.compress(TEXT) + b"\x1f", gzip.compress(TEXT) + b"x"],
    ids=["cut", "half of a header", "another byte"],
)
def test_an_incomplete_or_foreign_end_is_refused(serving: Path, body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


def test_many_empty_members_are_refused_quickly(serving: Path) -> None:
    body = gzip.compress(b"") * 200_000
    started = time.process_time()
    with pytest.raises(BadRequest, match=f"more than {MAX_MEMBERS} members"):
        read(body, size=len(body))
    assert time.process_time() - started < 5


@pytest.mark.parametrize("members", [1, 10])
def test_a_body_that_inflates_beyond_the_limit_is_refused_at_the_limit(
    serving: Path, members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEARTH_MAX_BODY_MB", "1")
    settings.get.cache_clear()
    body = gzip.compress(bytes(10 * 1024 * 1024 // members)) * members
    reader = BodyReader({"content-encoding": "gzip"})
    with pytest.raises(PayloadTooLarge):
        reader.feed(body)
    assert reader._inflated <= 1024 * 1024 + 1


def test_the_inflated_size_is_what_is_counted(serving: Path) -> None:
    assert BodyReader({"content-encoding": "gzip"}).feed(gzip.compress(bytes(100_000))) == 100_000
    assert BodyReader({}).feed(b"abc") == 3
