"""JSON from outside, read strictly: what two parsers could understand differently is refused."""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeVar

import msgspec

from hearth.errors import BadRequest

T = TypeVar("T")
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.:\[\]-]{0,62}")
"""Names that look like names. Anything else may be a text in the wrong place, and is told to nobody."""


def loads(raw: bytes) -> Any:
    """The document. Raises BadRequest for anything but plain UTF-8 JSON with finite numbers and unique keys."""
    try:
        text = raw.decode("utf-8")
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\u" in text:
            _refuse_surrogates(document)
        return document
    except UnicodeDecodeError:
        raise BadRequest("The body must be JSON in UTF-8") from None
    except RecursionError:
        raise BadRequest("The JSON body is nested too deeply") from None
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


def told(name: str) -> str:
    """A name that a caller made up, as an answer may tell it back."""
    return f"`{name}`" if PLAIN.fullmatch(name) else "(no plain word)"


def _without_values(words: str) -> str:
    """msgspec's words, with of the document's own only what is a plain name: the field and the rule tell the rest."""
    quoted = re.fullmatch(r"(Invalid (?:enum )?value) '(.*)'( - at `.*`)?", words, re.DOTALL)
    quoted = quoted or re.fullmatch(r"(Object contains unknown field) `(.*?)`( - at `.*`)?", words, re.DOTALL)
    if quoted:
        words = f"{quoted[1]} {told(quoted[2])}{quoted[3] or ''}"
    return words.replace("`$.", "`").replace("`$`", "the body")


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
