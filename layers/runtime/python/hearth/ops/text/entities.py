"""Entities from the label scores of tokens, as transformers' TokenClassificationPipeline aggregates them.

The functions have the names of that pipeline's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hearth.ops.text.windows import is_blank

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Array = np.ndarray[Any, np.dtype[np.float32]]
Join = Callable[[list[str]], str]
"""Tokens -> their text."""


@dataclass(frozen=True)
class PreEntity:
    """A token with a score for each label, (labels,)."""

    word: str
    start: int
    end: int
    """Character offsets in the text."""
    index: int
    scores: Array
    is_subword: bool
    """Whether it continues the word of the previous token."""


@dataclass(frozen=True)
class Entity:
    label: str
    score: float
    word: str
    start: int
    end: int
    index: int
    """Index of its first token."""


def gather_pre_entities(tokenizer: Tokenizer, window: Encoding, text: str, scores: Array) -> list[PreEntity]:
    """The tokens of a window of `text` that are not special; `scores` has (tokens, labels).

    Tokenizers that mark subwords (`##ing`) make their tokens longer than the text they stand for. For other tokenizers
    this is a guess: a token is a subword unless there is a space before it.
    """
    subword_prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    unknown = getattr(tokenizer.model, "unk_token", None)
    pre_entities = []
    for index, (token, (start, end)) in enumerate(zip(window.tokens, window.offsets, strict=True)):
        if window.special_tokens_mask[index]:
            continue
        word_ref = text[start:end]
        if token == unknown:
            is_subword, token = False, word_ref
        elif subword_prefix:
            is_subword = len(token) != len(word_ref)
        else:
            is_subword = start > 0 and " " not in text[start - 1 : start + 1]
        pre_entities.append(PreEntity(token, start, end, index, scores[index], is_subword))
    return pre_entities


def aggregate(pre_entities: Sequence[PreEntity], labels: Sequence[str], strategy: str, join: Join) -> list[Entity]:
    """`none`: one entity per token; `simple`: adjacent tokens of one kind are merged; `first`, `average`, `max`:
    adjacent words of one kind are merged, and a word has the label of its first token, of the mean of its tokens'
    scores, or of its token with the highest score."""
    if strategy in ("none", "simple"):
        entities = [to_entity([token], token.scores, labels, token.word) for token in pre_entities]
    else:
        entities = [aggregate_word(tokens, labels, strategy, join) for tokens in group_words(pre_entities)]
    return entities if strategy == "none" else group_entities(entities, join)


def group_words(pre_entities: Sequence[PreEntity]) -> list[list[PreEntity]]:
    words: list[list[PreEntity]] = []
    for token in pre_entities:
        if words and token.is_subword:
            words[-1].append(token)
        else:
            words.append([token])
    return words


def aggregate_word(tokens: list[PreEntity], labels: Sequence[str], strategy: str, join: Join) -> Entity:
    if strategy == "first":
        scores = tokens[0].scores
    elif strategy == "max":
        scores = max((token.scores for token in tokens), key=lambda scores: float(scores.max()))
    else:
        scores = np.mean([token.scores for token in tokens], axis=0)
    return to_entity(tokens, scores, labels, join([token.word for token in tokens]))


def to_entity(tokens: Sequence[PreEntity], scores: Array, labels: Sequence[str], word: str) -> Entity:
    best = int(scores.argmax())
    return Entity(labels[best], float(scores[best]), word, tokens[0].start, tokens[-1].end, tokens[0].index)


def group_entities(entities: Sequence[Entity], join: Join) -> list[Entity]:
    """Merge adjacent entities of one kind, unless the second one begins a new entity with B-."""
    groups: list[list[Entity]] = []
    for entity in entities:
        begins, kind = get_tag(entity.label)
        if groups and kind == get_tag(groups[-1][-1].label)[1] and not begins:
            groups[-1].append(entity)
        else:
            groups.append([entity])
    return [
        replace(
            group[0],
            label=group[0].label.split("-", 1)[-1],
            score=float(np.mean([entity.score for entity in group])),
            word=join([entity.word for entity in group]),
            end=group[-1].end,
        )
        for group in groups
    ]


def get_tag(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and the entity's kind. Labels without B- or I- continue an entity."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def strip(entities: Sequence[Entity], text: str) -> list[Entity]:
    """The entities of `text` without characters at their ends that are not seen, and without those that are nothing
    else."""
    stripped = []
    for entity in entities:
        first, end = _visible(text[entity.start : entity.end])
        if first < end:
            word = entity.word[slice(*_visible(entity.word))]
            stripped.append(replace(entity, word=word, start=entity.start + first, end=entity.start + end))
    return stripped


def _visible(text: str) -> tuple[int, int]:
    """Where a text begins and ends, without white space and characters such as a zero width space."""
    first, end = 0, len(text)
    while first < end and is_blank(text[first]):
        first += 1
    while first < end and is_blank(text[end - 1]):
        end -= 1
    return first, end


def aggregate_overlapping_entities(entities: Sequence[Entity]) -> list[Entity]:
    """Entities of overlapping windows: of two that overlap keep the longer one, or the one with the higher score."""
    aggregated: list[Entity] = []
    for entity in sorted(entities, key=lambda entity: entity.start):
        if aggregated and aggregated[-1].start <= entity.start < aggregated[-1].end:
            aggregated[-1] = max(aggregated[-1], entity, key=lambda entity: (entity.end - entity.start, entity.score))
        else:
            aggregated.append(entity)
    return aggregated
