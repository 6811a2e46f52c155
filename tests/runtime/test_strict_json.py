"""JSON that parsers could read differently, or that is expensive, is refused."""

from __future__ import annotations

import base64
import codecs
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
import pytest

from hearth import strict_json
from hearth.errors import BadRequest


def nested(depth: int, brackets: str = "[]") -> bytes:
    return (brackets[0] * depth + brackets[1] * depth).encode()


@pytest.mark.parametrize("depth", [1, strict_json.MAX_DEPTH])
def test_documents_may_be_nested_up_to_the_limit(depth: int) -> None:
    assert strict_json.loads(nested(depth)) is not None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (nested(strict_json.MAX_DEPTH + 1), "more than 64 levels"),
        (nested(500_000), "more than 100000 objects and lists"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "more than 64 levels"),
        (b'["' + b"]" * 100 + b'",' + nested(64) + b"]", "more than 64 levels"),  # brackets in a string do not count
        (b"[" + b"[]," * 100_000 + b"[]]", "100000 objects and lists"),
        (b"[" + b"1," * 2_000_000 + b"1]", "2000000 values"),
        (b"[" + b"9" * 65 + b"]", "64 characters"),
        (b"[0." + b"1" * 100_000 + b"]", "64 characters"),
        (b"[1e" + b"9" * 100 + b"]", "64 characters"),
        (b"[1e999]", "too large"),
        (b'"' + b"\\\\" * 1_000_000, "Unterminated"),
    ],
)
def test_expensive_json_is_refused_quickly(raw: bytes, message: str) -> None:
    started = time.monotonic()
    tracemalloc.start()
    with pytest.raises(BadRequest, match=message):
        strict_json.loads(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert time.monotonic() - started < 5
    assert peak < 8 * len(raw) + 2_000_000


def test_strings_may_hold_brackets_and_long_numbers() -> None:
    text = "[" * 1000 + '\\"' * 500 + "1" * 1000 + "{" * 1000
    assert strict_json.loads(json.dumps({"inputs": [text, text]}).encode()) == {"inputs": [text, text]}
    numbers = [[1.5] * 640] * 1000
    assert strict_json.loads(json.dumps(numbers).encode()) == numbers


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "valid JSON"),
        (b"{", "valid JSON"),
        (b"\xff", "must be JSON in UTF-8"),
        (b"[NaN]", "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b'{"a": 1, "a": 2}', "the same key twice"),
        (b'{"x": {"a": 1, "a": 1}}', "the same key twice"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'{"\\udc00": 1}', "half of a surrogate pair"),
        (b"[1e400]", "a number is too large"),
    ],
)
def test_ambiguous_documents_are_refused(raw: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        strict_json.loads(raw)


@pytest.mark.parametrize(
    ("raw", "document"),
    [
        (b'{"a": [1, -2.5e3, true, null, "\xc3\xbc"]}', {"a": [1, -2500.0, True, None, "ü"]}),
        (b'"\\ud83d\\ude42"', "🙂"),
    ],
)
def test_plain_documents_are_read(raw: bytes, document: Any) -> None:
    assert strict_json.loads(raw) == document


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    size: Annotated[int, msgspec.Meta(ge=1)]
    kind: Literal["a", "b"] = "a"


class Outer(msgspec.Struct, forbid_unknown_fields=True):
    inner: Inner
    items: list[int] = []


@pytest.mark.parametrize(
    ("document", "message", "param"),
    [
        ({}, "Object missing required field `inner`", "inner"),
        ({"inner": {"size": 0}}, "Expected `int` >= 1 - at `inner.size`", "inner.size"),
        ({"inner": {"size": 1, "kind": "secret text"}}, r"Invalid enum value \(name not shown\)", "inner.kind"),
        ({"inner": {"size": 1, "kind": "c"}}, "Invalid enum value `c`", "inner.kind"),
        ({"inner": {"size": 1}, "colour": 1}, "Object contains unknown field `colour`", "colour"),
        ({"inner": {"size": 1}, "a secret text": 1}, r"unknown field \(name not shown\)", None),
        ({"inner": {"size": 1}, "items": [1, "x"]}, r"Expected `int`, got `str` - at `items\[1\]`", "items[1]"),
        ([], "Expected `object`, got `array`", None),
    ],
)
def test_a_wrong_field_is_named_and_its_value_is_not(document: Any, message: str, param: str | None) -> None:
    with pytest.raises(BadRequest, match=message) as raised:
        strict_json.convert(document, Outer)
    assert raised.value.param == param
    assert "secret" not in raised.value.message


def test_only_plain_names_are_repeated() -> None:
    for name in ("a", "a.b[0]", "snake_case-1", "x" * 63):
        assert strict_json.safe_name(name) == f"`{name}`"
    for name in ("", "1a", "a b", "ü", "a`b", "x" * 64, "a\n"):
        assert strict_json.safe_name(name) == "(name not shown)"


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
    "data URL with escapes": lambda text: f" data:;base64,{quote(text, safe='')}",
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
