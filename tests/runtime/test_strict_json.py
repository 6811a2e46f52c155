"""Texts and files in JSON as clients send them."""

from __future__ import annotations

import base64
import codecs
import json
from collections.abc import Callable

import pytest

from hearth import strict_json
from hearth.errors import BadRequest

DOCUMENT = {"inputs": "schön, 好 🙂"}
TEXT = json.dumps(DOCUMENT, ensure_ascii=False)
ENCODINGS = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + TEXT.encode(),
    "utf-16-le": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16-be": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
}


@pytest.mark.parametrize("raw", ENCODINGS.values(), ids=ENCODINGS)
def test_a_document_is_read_in_every_encoding_that_windows_writes(raw: bytes) -> None:
    assert strict_json.loads(raw) == DOCUMENT
    assert strict_json.is_object(raw)
    assert strict_json.decode_text(raw) == TEXT


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_white_space_may_be_before_an_object(mark: bytes) -> None:
    assert strict_json.is_object(mark + b"\r\n\t {}")
    assert not strict_json.is_object(mark + b" []")


@pytest.mark.parametrize(
    "raw", [b"\x7b\x00\x7d\x00", codecs.BOM_UTF16_LE + b"{", b"\xff{}", codecs.BOM_UTF8 * 2 + b"{}"]
)
def test_other_encodings_are_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        strict_json.loads(raw)


def test_the_limits_hold_in_every_encoding() -> None:
    nested = "[" * 65 + "]" * 65
    for raw in (nested.encode(), codecs.BOM_UTF8 + nested.encode(), nested.encode("utf-16")):
        with pytest.raises(BadRequest, match="64 levels"):
            strict_json.loads(raw)


FILE = bytes(range(256)) + b"\xfb\xff\xbf"
VARIANTS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "unpadded": lambda text: text.rstrip("="),
    "lines of 76 columns": lambda text: "\r\n".join(text[start : start + 76] for start in range(0, len(text), 76)),
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "data URL": lambda text: f"data:image/png;base64,{text}",
    "data URL with parameters": lambda text: f"DATA:audio/wav;rate=8000;base64,{text}",
}


@pytest.mark.parametrize("size", [len(FILE), len(FILE) - 1, len(FILE) - 2])
@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_base64_is_read_in_every_variant(variant: Callable[[str], str], size: int) -> None:
    assert strict_json.decode_base64(variant(base64.b64encode(FILE[:size]).decode())) == FILE[:size]


@pytest.mark.parametrize("text", ["a", "a$bc", "é===", "ab=c", "data:image/png,abc"])
def test_what_is_not_base64_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="base64"):
        strict_json.decode_base64(text)


def test_an_address_is_refused_in_words_that_say_so() -> None:
    with pytest.raises(BadRequest, match="does not fetch addresses"):
        strict_json.decode_base64("https://example.com/cat.jpg")
