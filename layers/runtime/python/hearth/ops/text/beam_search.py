"""Beam search over a function that gives the next token's logits, in the semantics of transformers' `generate`.

Source: Hugging Face transformers 5, `GenerationMixin._beam_search` with `early_stopping=False`: finished sequences are
ranked by log-probability / length ** length_penalty, and a sentence ends when its best running sequence, ranked at its
present length, is no better than its worst finished one. `num_beams=1` is greedy search. The start token is never
written (Marian's is its padding), and the end token is forced where the length ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth.ops.text.sampling import log_probabilities

NOTHING = np.float32(-1e9)
"""The score of what must not be chosen."""
GROUP = 64
"""Tokens that are looked at together for the likeliest."""
Array = np.ndarray[Any, Any]
Step = Callable[[Array, Array, Array], Array]
"""(tokens, rows, sentences) -> logits (rows, vocabulary): `tokens` (rows,) follow the sequences that stood in `rows` of
the last call, and `sentences` are the places, in the last call, of those that are still translated. The first call has
one row a sentence."""


@dataclass(frozen=True)
class Search:
    start: int
    eos: int
    max_new: int
    """Tokens of an answer at most, its end token among them."""
    beams: int
    length_penalty: float


def search(step: Step, sentences: int, how: Search) -> list[list[int]]:
    """The best sequence of each sentence, without start and end token."""
    if how.beams == 1:
        return greedy(step, sentences, how)
    return beam_search(step, sentences, how)


def greedy(step: Step, sentences: int, how: Search) -> list[list[int]]:
    written: list[list[int]] = [[] for _ in range(sentences)]
    places = np.arange(sentences)  # of the sentences that are still open
    tokens, open_rows = np.full(sentences, how.start, np.int64), np.arange(sentences)
    for length in range(how.max_new):
        scores = allowed(step(tokens, open_rows, open_rows), length, how)
        tokens = scores.argmax(1).astype(np.int64)
        open_rows = np.flatnonzero(tokens != how.eos)
        tokens, places = tokens[open_rows], places[open_rows]
        for place, token in zip(places, tokens, strict=True):
            written[place].append(int(token))
        if not len(places):
            break
    return written


def beam_search(step: Step, sentences: int, how: Search) -> list[list[int]]:
    """Sentences leave the batch as soon as they end; what they gave does not depend on the others."""
    beams = how.beams
    best: list[list[int]] = [[] for _ in range(sentences)]
    places = np.arange(sentences)
    running = np.zeros((sentences, 1, 0), np.int64)  # (sentence, beam, written)
    running_scores = np.zeros((sentences, 1), np.float32)
    finished = np.zeros((sentences, beams, how.max_new), np.int64)
    finished_scores = np.full((sentences, beams), NOTHING)
    ended = np.zeros((sentences, beams), bool)
    tokens, rows, kept = np.full(sentences, how.start, np.int64), np.arange(sentences), np.arange(sentences)
    for length in range(how.max_new):
        count, width = running.shape[:2]
        # Twice as many as beams: should all of the best beams end here, as many are left to go on with.
        following, logs = likeliest(step(tokens, rows, kept), 2 * beams, length, how)
        each = following.shape[1]
        scores = (logs.reshape(count, width, each) + running_scores[:, :, None]).reshape(count, -1)
        chosen = largest(scores, min(2 * beams, scores.shape[1]))  # (sentence, candidate)
        candidate_scores = np.take_along_axis(scores, chosen, 1)
        parents, written = chosen // each, np.take_along_axis(following.reshape(count, -1), chosen, 1)
        candidates = np.concatenate([gather(running, parents), written[:, :, None]], 2)
        ends = (written == how.eos) | (length + 1 == how.max_new)

        unended = candidate_scores + ends * NOTHING
        going = largest(unended, min(beams, chosen.shape[1]))
        running, running_scores = gather(candidates, going), np.take_along_axis(unended, going, 1)

        may_end = ends & (np.arange(chosen.shape[1]) < beams)
        ranked = candidate_scores / np.float32((length + 1) ** how.length_penalty) + ~may_end * NOTHING
        padded = np.zeros((*ends.shape, how.max_new), np.int64)
        padded[:, :, : length + 1] = candidates
        merged = np.concatenate([finished_scores, ranked], 1)
        top = largest(merged, beams)
        finished_scores = np.take_along_axis(merged, top, 1)
        finished = gather(np.concatenate([finished, padded], 1), top)
        ended = np.take_along_axis(np.concatenate([ended, may_end], 1), top, 1)

        hope = running_scores[:, 0] / np.float32((length + 1) ** how.length_penalty)
        worst = np.where(ended, finished_scores.min(1, keepdims=True), NOTHING)
        is_open = (hope[:, None] > worst).any(1)
        for place in np.flatnonzero(~is_open | (length + 1 == how.max_new)):
            best[places[place]] = until(finished[place, 0], how.eos)
        kept = np.flatnonzero(is_open)
        if not len(kept):
            break
        previous = kept[:, None] * width + np.take_along_axis(parents, going, 1)[kept]
        rows, tokens = previous.ravel(), running[kept, :, -1].ravel()
        places, running, running_scores = places[kept], running[kept], running_scores[kept]
        finished, finished_scores, ended = finished[kept], finished_scores[kept], ended[kept]
    return best


def allowed(scores: Array, length: int, how: Search) -> Array:
    """Scores (rows, vocabulary) without the start token, and with the end token alone where the length ends."""
    scores = scores.copy()
    if length + 1 == how.max_new:
        scores[:] = -np.inf
        scores[:, how.eos] = 0
    else:
        scores[:, how.start] = -np.inf
    return scores


def likeliest(logits: Array, count: int, length: int, how: Search) -> tuple[Array, Array]:
    """The likeliest tokens (rows, `count` or all) that may follow, and their log-probabilities, in no order."""
    rows, vocabulary = logits.shape
    if length + 1 == how.max_new:
        return np.full((rows, 1), how.eos), np.zeros((rows, 1), np.float32)
    logs, count = log_probabilities(logits), min(count, vocabulary)
    logs[:, how.start] = -np.inf
    # The largest of a row lie in those of its groups whose own largest are largest: one pass instead of a sort. A
    # group is every `groups`-th token, so that groups are compared as whole rows.
    groups = vocabulary // GROUP
    if groups <= count:
        tokens = np.broadcast_to(np.arange(vocabulary), logs.shape)
    else:
        tops = logs[:, : groups * GROUP].reshape(rows, GROUP, groups).max(1)
        best = np.argpartition(-tops, count - 1, axis=1)[:, :count]
        grouped = (best[:, :, None] + groups * np.arange(GROUP)).reshape(rows, -1)
        rest = np.broadcast_to(np.arange(groups * GROUP, vocabulary), (rows, vocabulary - groups * GROUP))
        tokens = np.concatenate([grouped, rest], 1)
    found = np.take_along_axis(logs, tokens, 1)
    chosen = np.argpartition(-found, count - 1, axis=1)[:, :count]
    return np.take_along_axis(tokens, chosen, 1), np.take_along_axis(found, chosen, 1)


def largest(scores: Array, count: int) -> Array:
    """Indices of the `count` largest of each row, best first."""
    some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, some, 1), axis=1, kind="stable")
    return np.take_along_axis(some, order, 1)


def gather(sequences: Array, indices: Array) -> Array:
    """(sentence, index, written) from (sentence, beam, written)."""
    return np.take_along_axis(sequences, indices[:, :, None], 1)


def until(tokens: Array, eos: int) -> list[int]:
    found: list[int] = tokens.tolist()
    return found[: found.index(eos)] if eos in found else found
