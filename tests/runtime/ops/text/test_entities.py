"""Entities from the labels of tokens: each strategy, B- and I-, windows that overlap."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from hearth.ops.text.entities import (
    Entity,
    PreEntity,
    aggregate,
    aggregate_overlapping_entities,
    gather_pre_entities,
    get_tag,
    group_words,
    strip,
)

LABELS = ("O", "B-PER", "I-PER", "LOC")


def token(word: str, start: int, *scores: float, is_subword: bool = False) -> PreEntity:
    return PreEntity(word, start, start + len(word.lstrip("#")), start, np.array(scores, np.float32), is_subword)


def join(words: list[str]) -> str:
    return "".join(word.removeprefix("##") if word.startswith("##") else f" {word}" for word in words).strip()


def test_a_label_begins_continues_or_is_a_kind() -> None:
    assert get_tag("B-PER") == (True, "PER")
    assert get_tag("I-PER") == (False, "PER")
    assert get_tag("LOC") == (False, "LOC")


TOKENS = [
    token("An", 0, 0.1, 0.7, 0.1, 0.1),
    token("##na", 2, 0.1, 0.1, 0.8, 0.0, is_subword=True),
    token("in", 5, 0.9, 0.1, 0.0, 0.0),
    token("Rome", 8, 0.1, 0.0, 0.0, 0.9),
]


def test_none_is_an_entity_per_token() -> None:
    entities = aggregate(TOKENS, LABELS, "none", join)
    assert [(entity.label, entity.word) for entity in entities] == [
        ("B-PER", "An"),
        ("I-PER", "##na"),
        ("O", "in"),
        ("LOC", "Rome"),
    ]
    assert (entities[1].start, entities[1].end, entities[1].index) == (2, 4, 2)
    assert entities[1].score == pytest.approx(0.8)


def test_simple_merges_tokens_of_one_kind() -> None:
    person, other, place = aggregate(TOKENS, LABELS, "simple", join)
    assert (person.label, person.word, person.start, person.end, person.index) == ("PER", "Anna", 0, 4, 0)
    assert person.score == pytest.approx((0.7 + 0.8) / 2)
    assert (other.label, place.label) == ("O", "LOC")


@pytest.mark.parametrize(
    ("strategy", "label", "score"), [("first", "PER", 0.7), ("max", "PER", 0.8), ("average", "PER", 0.45)]
)
def test_a_word_has_one_label(strategy: str, label: str, score: float) -> None:
    person = aggregate(TOKENS, LABELS, strategy, join)[0]
    assert (person.label, person.word) == (label, "Anna")
    assert person.score == pytest.approx(score)


def test_first_and_max_may_disagree() -> None:
    word = [token("a", 0, 0.6, 0.4, 0, 0), token("##b", 1, 0.1, 0, 0, 0.9, is_subword=True)]
    assert aggregate(word, LABELS, "first", join)[0].label == "O"
    assert aggregate(word, LABELS, "max", join)[0].label == "LOC"
    assert aggregate(word, LABELS, "average", join)[0].label == "LOC"


def test_a_new_beginning_is_a_new_entity() -> None:
    tokens = [token("a", 0, 0, 1, 0, 0), token("b", 2, 0, 1, 0, 0), token("c", 4, 0, 0, 1, 0)]
    entities = aggregate(tokens, LABELS, "simple", join)
    assert [(entity.label, entity.word) for entity in entities] == [("PER", "a"), ("PER", "b c")]


def test_a_subword_at_the_beginning_is_a_word() -> None:
    first, second = token("##x", 0, 1, is_subword=True), token("##y", 1, 1, is_subword=True)
    assert group_words([first, second]) == [[first, second]]
    assert group_words([]) == []


def entity(start: int, end: int, score: float) -> Entity:
    return Entity("PER", score, "x", start, end, start)


def test_of_overlapping_entities_the_longer_or_surer_one_stays() -> None:
    long, short, sure, far = entity(0, 9, 0.1), entity(3, 5, 0.9), entity(0, 9, 0.2), entity(9, 12, 0.5)
    assert aggregate_overlapping_entities([far, short, long]) == [long, far]
    assert aggregate_overlapping_entities([long, sure]) == [sure]
    assert aggregate_overlapping_entities([short, sure]) == [sure]
    assert aggregate_overlapping_entities([]) == []


def test_subwords_are_marked_and_unknown_words_kept() -> None:
    vocabulary = {"[UNK]": 0, "An": 1, "##na": 2, "in": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    text = "Anna in Rome"
    window = tokenizer.encode(text)
    scores = np.zeros((len(window.tokens), 4), np.float32)
    pre = gather_pre_entities(tokenizer, window, text, scores)
    assert [(entry.word, entry.is_subword) for entry in pre] == [
        ("An", False),
        ("##na", True),
        ("in", False),
        ("Rome", False),
    ]
    assert [(entry.start, entry.end) for entry in pre] == [(0, 2), (2, 4), (5, 7), (8, 12)]


def test_without_marks_a_subword_has_no_space_before_it() -> None:
    tokenizer = Tokenizer(models.WordLevel({"ab": 0, "cd": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("b", "merged_with_previous")
    text = "abcd ab"
    window = tokenizer.encode(text)
    pre = gather_pre_entities(tokenizer, window, text, np.zeros((len(window.tokens), 4), np.float32))
    assert pre[0].is_subword is False


TEXT = "\u200b Anna Berg \t\u3000in Oslo"


def marked(start: int, end: int) -> Entity:
    return Entity("PER", 0.9, TEXT[start:end], start, end, 1)


@pytest.mark.parametrize(
    ("start", "end", "word"),
    [(2, 11, "Anna Berg"), (0, 11, "Anna Berg"), (1, 14, "Anna Berg"), (11, 16, "in"), (13, len(TEXT), "in Oslo")],
)
def test_white_space_at_the_ends_is_cut_off(start: int, end: int, word: str) -> None:
    (stripped,) = strip([marked(start, end)], TEXT)
    assert stripped.word == word
    assert TEXT[stripped.start : stripped.end] == word


@pytest.mark.parametrize(("start", "end"), [(0, 2), (11, 14), (0, 0)])
def test_an_entity_of_white_space_is_none(start: int, end: int) -> None:
    assert strip([marked(start, end)], TEXT) == []
