"""Constrained decoding: only tokens that keep a text within a JSON schema, a regular expression or a grammar may come
next. llguidance computes which ones; it is imported when a request asks for a format."""

from __future__ import annotations

import json
import math
import re
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from hearth.errors import BadRequest, Unavailable
from hearth.tasks.generation import LanguageModel, vocabulary_size

if TYPE_CHECKING:
    from llguidance import LLTokenizer

MAX_CHARACTERS = 100_000
"""Largest size of a grammar."""
MAX_REMAINDERS = 100_000
"""Largest number of states for `multipleOf`; a million take ten seconds and half a gigabyte."""
MAX_DIGITS = 20
"""Largest number of digits of a value of `multipleOf` before or after its point."""
END = "<|end of the grammar|>"
SCHEMA = re.compile(r"%json\s*")
"""What precedes a JSON schema in llguidance's Lark."""
_tokenizers: weakref.WeakKeyDictionary[Any, LLTokenizer] = weakref.WeakKeyDictionary()
"""llguidance's view of each loaded model's tokens."""


class Grammar(Struct, frozen=True, forbid_unknown_fields=True):
    """The format of a text, as text-generation-inference describes it."""

    type: Literal["json", "regex", "lark"]
    value: str | dict[str, Any]
    """A JSON schema (as an object or as text), a regular expression, or a grammar in llguidance's Lark."""


class Constraint:
    """Follows one text. Not thread-safe."""

    def __init__(self, model: LanguageModel, grammar: Grammar) -> None:
        """Raises BadRequest for an invalid grammar, and Unavailable where llguidance is not installed."""
        try:
            from llguidance import LLMatcher
        except ImportError:
            raise Unavailable("Output formats need llguidance, which is not installed here", retry_after=None) from None
        text = grammar.value if isinstance(grammar.value, str) else msgspec.json.encode(grammar.value).decode()
        if len(text) > MAX_CHARACTERS:
            raise BadRequest(f"The grammar has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
        self._vocabulary = vocabulary_size(model)
        tokenizer = _tokenizer(model)
        self._unknown = [] if model.head.eos else [tokenizer.eos_token]
        """Tokens that the model itself does not have."""
        self._matcher = LLMatcher(tokenizer, _compile(grammar.type, text), log_level=0)
        if self._matcher.is_error():
            reason = self._matcher.get_error().strip().partition("\n")[0]
            raise BadRequest(f"The {grammar.type} grammar is invalid: {reason[:200]}", param="parameters.grammar")

    def allowed(self) -> np.ndarray[Any, Any]:
        """Which tokens may come next, (vocabulary,) bool. Raises BadRequest if the grammar is too complex."""
        mask = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise BadRequest("The grammar is too complex for this text", param="parameters.grammar")
        bits = np.unpackbits(mask, bitorder="little").astype(bool)
        bits[self._unknown] = False
        bits = bits[: self._vocabulary]
        if not bits.any():
            raise BadRequest("The model has no tokens that continue its text within the grammar")
        return np.pad(bits, (0, self._vocabulary - len(bits)))

    def accept(self, token: int) -> bool:
        """Take the next token; returns whether the text is complete and nothing may follow."""
        self._matcher.consume_token(token)
        return bool(self._matcher.is_stopped())


def _compile(kind: str, text: str) -> str:
    from llguidance import LLMatcher

    if kind == "regex":
        return str(LLMatcher.grammar_from_regex(text))
    check_multiples(_schemas(kind, text))
    if kind == "lark":
        return str(LLMatcher.grammar_from_lark(text))
    try:
        # Free white space would let a model indent without an end.
        return str(LLMatcher.grammar_from_json_schema(text, defaults={"whitespace_flexible": False}))
    except ValueError as error:
        raise BadRequest(f"The JSON schema is invalid: {str(error)[:200]}", param="parameters.grammar") from None


def _schemas(kind: str, text: str) -> Iterator[Any]:
    """The JSON schemas in a grammar, with numbers as Decimal; none that is not JSON, which llguidance refuses. Raises
    BadRequest."""
    decode = json.JSONDecoder(parse_int=Decimal, parse_float=Decimal).raw_decode
    starts = [len(text) - len(text.lstrip())] if kind == "json" else [match.end() for match in SCHEMA.finditer(text)]
    for start in starts:
        if kind == "lark" and text[start : start + 1] != "{":
            raise BadRequest("`%json` must be followed by a schema, {…}", param="parameters.grammar")
        with suppress(ValueError, RecursionError):
            yield decode(text, start)[0]


def check_multiples(schemas: Iterable[Any]) -> None:
    """Check that numbers which must be multiples need no more than MAX_REMAINDERS states: llguidance has one for each
    remainder, and no limit of its own for them. Raises BadRequest.

    A number may have to be a multiple of all values, which is one of their least common multiple; the zeros at the end
    of a single value take no states.
    """
    values = {value.normalize() for schema in schemas for value in _multiples(schema) if value.is_finite() and value}
    places = min((int(value.as_tuple().exponent) for value in values), default=0)
    if max((abs(value.adjusted()) for value in values), default=0) > MAX_DIGITS:
        remainders = MAX_REMAINDERS + 1
    elif len(values) == 1:
        remainders = int(abs(next(iter(values))).scaleb(-places))
    else:
        remainders = math.lcm(*(int(abs(value).scaleb(-places)) for value in values))
    if remainders > MAX_REMAINDERS:
        raise BadRequest(
            f"The values of `multipleOf` need {remainders} states; at most {MAX_REMAINDERS} are allowed",
            param="parameters.grammar",
        )


def _multiples(schema: Any) -> Iterator[Decimal]:
    """The values of `multipleOf` anywhere in a schema."""
    remaining = [schema]
    while remaining:
        value = remaining.pop()
        if isinstance(value, list):
            remaining += value
        elif isinstance(value, dict):
            if isinstance(multiple := value.get("multipleOf"), Decimal):
                yield multiple
            remaining += value.values()


def _tokenizer(model: LanguageModel) -> LLTokenizer:
    from llguidance import LLTokenizer

    if model not in _tokenizers:
        text, size, eos = model.tokenizer.to_str(), vocabulary_size(model), list(model.head.eos)
        if not eos:
            text, end = _with_end(text)
            eos, size = [end], max(size, end + 1)
        _tokenizers[model] = LLTokenizer(text, n_vocab=size, eos_token=eos)
    return _tokenizers[model]


def _with_end(tokenizer: str) -> tuple[str, int]:
    """A tokenizer with an end token, which its model never writes; llguidance would take the first token for it."""
    from tokenizers import Tokenizer

    extended = Tokenizer.from_str(tokenizer)
    extended.add_special_tokens([END])
    return extended.to_str(), extended.get_vocab()[END]
