"""Bodies of responses in the encodings that clients accept."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

WINDOW_BITS = {"gzip": 31, "deflate": 15}
"""Content-Encoding -> zlib's window bits."""
MIN_BYTES = 1024
"""Smallest size of a body that is compressed."""


def compress(body: bytes, request_headers: Mapping[str, str], level: int = 1) -> tuple[bytes, dict[str, str]]:
    """The body, compressed if it is large enough and the client accepts it, and the headers that say so."""
    if len(body) < MIN_BYTES:
        return body, {}
    vary = {"Vary": "Accept-Encoding"}
    accepted = accepted_encodings(request_headers.get("accept-encoding", ""))
    encoding = next((name for name in WINDOW_BITS if name in accepted), None)
    if encoding is None:
        return body, vary
    compressor = zlib.compressobj(level, wbits=WINDOW_BITS[encoding])
    return compressor.compress(body) + compressor.flush(), {"Content-Encoding": encoding, **vary}


def accepted_encodings(header: str) -> set[str]:
    """The encodings that a client accepts, without those of weight 0."""
    matches = (re.fullmatch(r"\s*([\w*-]+)\s*(?:;\s*q=([\d.]+)\s*)?", item) for item in header.lower().split(","))
    return {match[1] for match in matches if match and (match[2] or "1").strip("0.")}
