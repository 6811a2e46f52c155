"""Entities hold no white space at their ends, and none consists of it."""

from __future__ import annotations

import pytest

from hearth.ops.text.entities import Entity, strip

TEXT = "  Anna Berg \t\u3000in Oslo"


def entity(start: int, end: int) -> Entity:
    return Entity("PER", 0.9, TEXT[start:end], start, end, 1)


@pytest.mark.parametrize(
    ("start", "end", "word"),
    [(2, 11, "Anna Berg"), (0, 11, "Anna Berg"), (1, 14, "Anna Berg"), (11, 16, "in"), (13, len(TEXT), "in Oslo")],
)
def test_white_space_at_the_ends_is_cut_off(start: int, end: int, word: str) -> None:
    (stripped,) = strip([entity(start, end)], TEXT)
    assert stripped.word == word
    assert TEXT[stripped.start : stripped.end] == word


@pytest.mark.parametrize(("start", "end"), [(0, 2), (11, 14), (0, 0)])
def test_an_entity_of_white_space_is_none(start: int, end: int) -> None:
    assert strip([entity(start, end)], TEXT) == []
