"""Which bodies are compressed, and how."""

from __future__ import annotations

import zlib

import pytest

from hearth.protocols.compression import MIN_BYTES, WINDOW_BITS, compress

LARGE = b"x" * 5000


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate, gzip", "gzip"),
        ("deflate;q=0.5", "deflate"),
        ("GZIP ; q=1.0", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0.000", None),
        ("br, *", None),
        ("", None),
    ],
)
def test_a_large_body_is_compressed_as_the_client_accepts_it(accepted: str, encoding: str | None) -> None:
    body, headers = compress(LARGE, {"accept-encoding": accepted})
    assert headers.get("Content-Encoding") == encoding
    assert headers["Vary"] == "Accept-Encoding", "a cache must not give it to clients that accept others"
    assert (len(body) < 100) is (encoding is not None)
    assert (zlib.decompress(body, WINDOW_BITS[encoding]) if encoding else body) == LARGE


def test_a_small_body_is_not_compressed() -> None:
    for size, is_compressed in ((0, False), (MIN_BYTES - 1, False), (MIN_BYTES, True), (MIN_BYTES + 1, True)):
        body, headers = compress(b"x" * size, {"accept-encoding": "gzip"})
        assert ("Content-Encoding" in headers) is (len(body) < size) is is_compressed
