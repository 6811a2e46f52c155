"""JSON bodies that need more work than their size suggests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable


def json_body(text: str) -> bytes:
    return json.dumps({"inputs": text}, ensure_ascii=False).encode()


TEXTS: dict[str, Callable[[], bytes]] = {
    "json: in UTF-16": lambda: json.dumps({"inputs": "good"}).encode("utf-16"),
    "json: in UTF-32 with a mark": lambda: json.dumps({"inputs": "good"}).encode("utf-32"),
    "json: with a mark before it": lambda: b"\xef\xbb\xbf" + json_body("good"),
    "json: a million lists within another": lambda: b"[" * 1_000_000,
    "json: a million empty lists": lambda: b'{"inputs": [' + b"[]," * 1_000_000 + b"[]]}",
    "json: two million numbers": lambda: b'{"inputs": [' + b"1," * 2_100_000 + b"1]}",
    "json: a number of a million digits": lambda: b'{"inputs": ' + b"9" * 1_000_000 + b"}",
    "json: 200000 keys": lambda: json.dumps({f"k{number}": 0 for number in range(200_000)}).encode(),
    "json: four million escapes": lambda: b'{"inputs": "' + b"\\n" * 2_000_000 + b'"}',
    "json: a gigabyte as gzip": lambda: gzip.compress(bytes(10**9), 1),
    "text: 10000 ligatures of 18 characters": lambda: json_body("\ufdfa" * 10_000),
    "text: 5000 letters under 5000 marks": lambda: json_body("a" + "\u0301" * 9_000),
    "text: one word of 10000 letters": lambda: json_body("a" * 10_000),
    "text: a million words": lambda: json_body("a " * 1_000_000),
    "text: control characters and directions": lambda: json_body("\0\x1b\u202e\u2066\ufeff\U000e0001" * 1000),
}
