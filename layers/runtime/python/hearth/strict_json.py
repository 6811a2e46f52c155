"""JSON from outside, read strictly: what two parsers could understand differently is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from hearth.errors import BadRequest

T = TypeVar("T")
DEPTH = 64
"""Objects and lists within one another."""
CONTAINERS = 100_000
"""Objects and lists of a document."""
VALUES = 2_000_000
"""Of a document: a picture of 640 x 640 pixels as numbers has 1.2 million."""
DIGITS = 64
"""Characters of a number."""
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_LONG = re.compile(rb"[-+.0-9eE]{%d}" % (DIGITS + 1))
_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,62}")
"""Names that look like names. Anything else may be a text in the wrong place, which no message repeats."""


def loads(raw: bytes) -> Any:
    """The document. Raises BadRequest for anything but plain UTF-8 JSON with finite numbers and unique keys."""
    try:
        text = raw.decode("utf-8")
        _bounded(raw)
        if text.startswith("\ufeff"):  # as json.loads says it
            raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
        document = _decode(text)
        if "\\u" in text:
            _refuse_surrogates(document)
        return document
    except UnicodeDecodeError:
        raise BadRequest("The body must be JSON in UTF-8") from None
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {str(error)[:200]}") from None


def convert(document: Any, kind: type[T]) -> T:
    """The document as `kind`. Raises BadRequest with words that name the field."""
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        field = re.search(r"`\$\.([^`]+)`$|unknown field `([^`]+)`$|required field `([^`]+)`$", str(error))
        param = next((part for part in field.groups() if part), None) if field else None
        if param and not PLAIN.fullmatch(param):
            param = None
        raise BadRequest(_without_values(str(error)), param=param) from None


def safe_name(name: str) -> str:
    """A name that a caller made up, as an error message may repeat it."""
    return f"`{name}`" if PLAIN.fullmatch(name) else "(no plain word)"


def _without_values(words: str) -> str:
    """msgspec's message without values of the document: the field and the rule say enough."""
    quoted = re.fullmatch(r"(Invalid (?:enum )?value) '(.*)'( - at `.*`)?", words, re.DOTALL)
    quoted = quoted or re.fullmatch(r"(Object contains unknown field) `(.*?)`( - at `.*`)?", words, re.DOTALL)
    if quoted:
        words = f"{quoted[1]} {safe_name(quoted[2])}{quoted[3] or ''}"
    return words.replace("`$.", "`").replace("`$`", "the body")


def _bounded(raw: bytes) -> None:
    """Refuse what would be much work, before any of it is built. Raises ValueError.

    Most documents are known to be small by counting bytes; of others the strings are left out first.
    """
    if raw.count(b"[") + raw.count(b"{") <= DEPTH and raw.count(b",") < VALUES and not _LONG.search(raw):
        return
    bare = _STRING.sub(b'"', raw)
    if bare.count(b"[") + bare.count(b"{") > CONTAINERS:
        raise ValueError(f"it has more than {CONTAINERS} objects and lists")
    if bare.count(b",") >= VALUES:
        raise ValueError(f"it has more than {VALUES} values")
    if _LONG.search(bare):
        raise ValueError(f"a number has more than {DIGITS} characters")
    depth = 0
    for byte in bare.translate(None, _BUT_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > DEPTH:
            raise ValueError(f"it is nested too deeply: more than {DEPTH} levels")


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
    """Half a surrogate pair is no character; tokenizers would fail on it later."""
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a string holds half of a surrogate pair") from None


_decode = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite).decode
