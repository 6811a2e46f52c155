"""Strict parsing of JSON from callers: documents that parsers could interpret differently are refused."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import math
import re
from typing import Any, TypeVar

import msgspec

from hearth.errors import BadRequest

T = TypeVar("T")
MAX_DEPTH = 64
"""Largest nesting depth of objects and lists."""
MAX_CONTAINERS = 100_000
"""Largest number of objects and lists of a document."""
MAX_VALUES = 2_000_000
"""Largest number of values of a document; a picture of 640 x 640 pixels as numbers has 1.2 million."""
MAX_DIGITS = 64
"""Largest number of characters of a number."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OBJECT = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*\{|\xff\xfe(?:[ \t\r\n]\0)*\{\0|\xfe\xff(?:\0[ \t\r\n])*\0\{")
"""The beginning of a JSON object, after a byte order mark and white space."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[-+.0-9eE]{%d}" % (MAX_DIGITS + 1))
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
SAFE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,62}")
"""Names that messages may repeat. Anything else may be a text in the wrong place."""


def decode_text(raw: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark, or UTF-16 with one. Windows writes both. Raises
    UnicodeDecodeError."""
    if raw.startswith(_UTF_16):
        return raw.decode("utf-16")
    return raw.removeprefix(codecs.BOM_UTF8).decode()  # Python's utf-8-sig takes 10 times as long for short texts


def is_object(raw: bytes) -> bool:
    """Whether bytes begin like a JSON object."""
    return _OBJECT.match(raw) is not None


def loads(raw: bytes) -> Any:
    """Parse a document. Raises BadRequest for anything but JSON in UTF-8, or in UTF-16 with a byte order mark, with
    finite numbers and unique keys."""
    try:
        text = decode_text(raw)
        _check_size(text.encode() if raw.startswith(_UTF_16) else raw)
        document = _decode(text)
        if "\\u" in text:
            _refuse_surrogates(document)
        return document
    except UnicodeDecodeError:
        raise BadRequest("The body must be JSON in UTF-8") from None
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {str(error)[:200]}") from None


_BASE64_VARIANTS = bytes.maketrans(b"-_", b"+/")
_DATA_URL = re.compile(r"\s*data:[^,]{0,200};base64,", re.IGNORECASE)


def decode_base64(text: str) -> bytes:
    """Decode base64 as clients send it: with line breaks, without padding, URL-safe, or as a data URL. Raises
    BadRequest."""
    if prefix := _DATA_URL.match(text):
        text = text[prefix.end() :]
        if "%" in text:  # RFC 2397 allows what URLs need
            from urllib.parse import unquote  # few functions need it, and it takes long to import

            text = unquote(text)
    elif text[:8].lower().startswith(("http://", "https://", "data:")):
        raise BadRequest("The server does not fetch addresses; send the file itself as base64, or as the body")
    encoded = text.encode("ascii", "replace").translate(_BASE64_VARIANTS, b" \t\r\n").rstrip(b"=")
    try:
        return base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        raise BadRequest("A file in JSON must be base64, or a data URL with base64") from None


def convert(document: Any, schema: type[T]) -> T:
    """Convert a document to `schema`. Raises BadRequest, which names the field."""
    try:
        return msgspec.convert(document, schema)
    except msgspec.ValidationError as error:
        field = re.search(r"`\$\.([^`]+)`$|unknown field `([^`]+)`$|required field `([^`]+)`$", str(error))
        param = next((group for group in field.groups() if group), None) if field else None
        if param and not SAFE_NAME.fullmatch(param):
            param = None
        raise BadRequest(_without_values(str(error)), param=param) from None


def safe_name(name: str) -> str:
    """A caller's name in a form that error messages may repeat."""
    return f"`{name}`" if SAFE_NAME.fullmatch(name) else "(name not shown)"


def _without_values(message: str) -> str:
    """msgspec's message without values of the document; it still has the field and the rule."""
    quoted = re.fullmatch(r"(Invalid (?:enum )?value) '(.*)'( - at `.*`)?", message, re.DOTALL)
    quoted = quoted or re.fullmatch(r"(Object contains unknown field) `(.*?)`( - at `.*`)?", message, re.DOTALL)
    if quoted:
        message = f"{quoted[1]} {safe_name(quoted[2])}{quoted[3] or ''}"
    return message.replace("`$.", "`").replace("`$`", "the body")


def _check_size(raw: bytes) -> None:
    """Refuse documents that would take much work, before they are parsed. Raises ValueError.

    Counting bytes is enough for most documents; for others the strings are removed first.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH and raw.count(b",") < MAX_VALUES and not _LONG_NUMBER.search(raw):
        return
    without_strings = _STRING.sub(b'"', raw)
    if without_strings.count(b"[") + without_strings.count(b"{") > MAX_CONTAINERS:
        raise ValueError(f"it has more than {MAX_CONTAINERS} objects and lists")
    if without_strings.count(b",") >= MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES} values")
    if _LONG_NUMBER.search(without_strings):
        raise ValueError(f"a number has more than {MAX_DIGITS} characters")
    depth = 0
    for byte in without_strings.translate(None, _NOT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested too deeply: more than {MAX_DEPTH} levels")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("an object has the same key twice")
    return document


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse_surrogates(document: Any) -> None:
    """Refuse lone surrogates, which are not characters; tokenizers would fail on them later."""
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a string has half of a surrogate pair") from None


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite).decode
