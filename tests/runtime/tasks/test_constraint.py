"""Grammars whose numbers must be multiples take few states; tests/clients generates with grammars."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel
from tokenizers.models import BPE

from hearth.errors import BadRequest
from hearth.tasks.constraint import Constraint, Grammar, _compile

pytest.importorskip("llguidance", reason="llguidance is not installed")


def number(value: Any) -> dict[str, Any]:
    return {"type": "number", "multipleOf": value}


FEW: dict[str, Any] = {
    "usual": {"type": "object", "properties": {"price": number(0.01), "count": number(5), "weight": number(100)}},
    "a million": number(10**6),
    "a day": number(86400),
    "a field of this name": {"properties": {"multipleOf": {"type": "integer"}}},
    "zero": number(0),
}
MANY: dict[str, Any] = {
    "large": number(999983),
    "larger": number(99999989),
    "of digits": number(0.999983),
    "intersection": {"allOf": [number(9973), number(9967)]},
    "of two scales": {"allOf": [number(0.256), number(62500)]},
    "below another": {"items": [{"properties": {"a": {"anyOf": [number(2**20)]}}}]},
    "vast": number(10**40 + 1),
    "beside a number of many digits": {"maximum": 10**60, "items": number(999983)},
}


@pytest.mark.parametrize("name", FEW)
def test_usual_multiples_are_taken(name: str) -> None:
    text = json.dumps(FEW[name])
    assert _compile("json", text)
    assert _compile("lark", f"start: %json {text}")


@pytest.mark.parametrize("name", MANY)
def test_multiples_of_many_states_are_refused(name: str) -> None:
    text = json.dumps(MANY[name])
    escaped = text.replace("multipleOf", "multiple\\u004ff")
    for kind, grammar in (
        *(("json", text), ("json", f" {escaped}")),
        *(("lark", f"start: %json {text}"), ("lark", f"start: a\na: %json\n{escaped}")),
    ):
        with pytest.raises(BadRequest, match=r"`multipleOf` need \d+ states"):
            _compile(kind, grammar)


def test_a_deep_schema_is_no_internal_error() -> None:
    with pytest.raises(BadRequest):
        _compile("json", '{"not":' * 900 + '{"multipleOf": 999983}' + "}" * 900)
    with pytest.raises(BadRequest, match="schema is invalid"):
        _compile("json", '{"not":' * 10_000)


def test_a_schema_in_a_grammar_follows_its_mark() -> None:
    with pytest.raises(BadRequest, match="must be followed by a schema"):
        _compile("lark", 'start: %json // {}\n{"multipleOf": 999983}')


class WithoutEnd(SimpleNamespace):
    """A language model whose tokens are letters and "!", and none of which is an end."""

    __hash__ = object.__hash__

    def __init__(self) -> None:
        tokenizer = Tokenizer(BPE({"!": 0, "a": 1, "b": 2}, []))
        tokenizer.decoder = ByteLevel()
        outputs = [SimpleNamespace(shape=(1, 3))]
        super().__init__(
            tokenizer=tokenizer,
            head=SimpleNamespace(eos=()),
            manifest=SimpleNamespace(graphs={"main": SimpleNamespace(outputs=outputs)}),
        )


def test_a_model_without_an_end_token_writes_as_much_as_the_grammar_allows() -> None:
    constraint = Constraint(WithoutEnd(), Grammar("regex", "[ab]{2,4}"))  # type: ignore[arg-type]
    ended = []
    for token in (1, 2, 1, 2):
        assert constraint.allowed().tolist() == [False, True, True]
        ended.append(constraint.accept(token))
    assert ended == [False, False, False, True]
