"""From a label a token to entities, as transformers' TokenClassificationPipeline groups them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Array = np.ndarray[Any, np.dtype[np.float32]]
Join = Callable[[list[str]], str]
"""Tokens as a text."""


@dataclass(frozen=True)
class Piece:
    """A token with a score for each label, (labels,)."""

    word: str
    start: int
    end: int
    """Characters of the text."""
    index: int
    scores: Array
    continues: bool
    """Whether it goes on with the word of the token before."""


@dataclass(frozen=True)
class Entity:
    label: str
    score: float
    word: str
    start: int
    end: int
    index: int
    """Of its first token."""


def pieces_of(tokenizer: Tokenizer, row: Encoding, text: str, scores: Array) -> list[Piece]:
    """The tokens of a window of `text` that are not special; `scores` has (tokens, labels).

    Tokenizers that mark what goes on with a word (`##ing`) make tokens longer there than what they stand for; for the
    others, and that is a guess, a token goes on unless there is a space before it.
    """
    prefix = getattr(tokenizer.model, "continuing_subword_prefix", None)
    unknown = getattr(tokenizer.model, "unk_token", None)
    found = []
    for index, (token, (start, end)) in enumerate(zip(row.tokens, row.offsets, strict=True)):
        if row.special_tokens_mask[index]:
            continue
        source = text[start:end]
        if token == unknown:
            continues, token = False, source
        elif prefix:
            continues = len(token) != len(source)
        else:
            continues = start > 0 and " " not in text[start - 1 : start + 1]
        found.append(Piece(token, start, end, index, scores[index], continues))
    return found


def entities(pieces: Sequence[Piece], labels: Sequence[str], strategy: str, join: Join) -> list[Entity]:
    """`none`: every token; `simple`: runs of tokens of a kind; `first`, `average`, `max`: runs of words of a kind,
    where a word has one label: that of its first token, of its tokens' mean, or of its surest token."""
    if strategy in ("none", "simple"):
        found = [labelled([piece], piece.scores, labels, piece.word) for piece in pieces]
    else:
        found = [word(parts, labels, strategy, join) for parts in words(pieces)]
    return found if strategy == "none" else grouped(found, join)


def words(pieces: Sequence[Piece]) -> list[list[Piece]]:
    found: list[list[Piece]] = []
    for piece in pieces:
        if found and piece.continues:
            found[-1].append(piece)
        else:
            found.append([piece])
    return found


def word(parts: list[Piece], labels: Sequence[str], strategy: str, join: Join) -> Entity:
    if strategy == "first":
        scores = parts[0].scores
    elif strategy == "max":
        scores = max((part.scores for part in parts), key=lambda scores: float(scores.max()))
    else:
        scores = np.mean([part.scores for part in parts], axis=0)
    return labelled(parts, scores, labels, join([part.word for part in parts]))


def labelled(parts: Sequence[Piece], scores: Array, labels: Sequence[str], text: str) -> Entity:
    best = int(scores.argmax())
    return Entity(labels[best], float(scores[best]), text, parts[0].start, parts[-1].end, parts[0].index)


def grouped(found: Sequence[Entity], join: Join) -> list[Entity]:
    """Neighbours of one kind become one, unless the second one begins anew with B-."""
    groups: list[list[Entity]] = []
    for entity in found:
        begins, kind = tag(entity.label)
        if groups and kind == tag(groups[-1][-1].label)[1] and not begins:
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


def tag(label: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and of what kind. Without B- or I- it is one that goes on."""
    return label.startswith("B-"), label[2:] if label.startswith(("B-", "I-")) else label


def merge_windows(found: Sequence[Entity]) -> list[Entity]:
    """Entities of overlapping windows: of two that overlap the longer one stays, of equal ones the surer one."""
    kept: list[Entity] = []
    for entity in sorted(found, key=lambda entity: entity.start):
        if kept and kept[-1].start <= entity.start < kept[-1].end:
            kept[-1] = max(kept[-1], entity, key=lambda one: (one.end - one.start, one.score))
        else:
            kept.append(entity)
    return kept
