"""Beam search over a function that gives the next token's logits, in the semantics of transformers' `generate`.

Source: Hugging Face transformers 5, `GenerationMixin._beam_search` with `early_stopping=False`; its variable names are
kept. Finished sequences are ranked by log-probability / length ** length_penalty, and a sentence ends when its best
running sequence, ranked at its present length, is no better than its worst finished one. `cur_len` counts generated
tokens only. `num_beams=1` is greedy search. Unless the configuration says otherwise, the start token is never generated
(Marian's is its padding token), and the end token is forced at the maximum length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth.ops.text.sampling import log_probabilities

MASKED_SCORE = np.float32(-1e9)
"""Score of a sequence that must not be chosen."""
GROUP = 64
"""Number of tokens in a group; the groups with the largest maxima contain the likeliest tokens."""
Array = np.ndarray[Any, Any]
DecoderStep = Callable[[Array, Array, Array], Array]
"""(tokens, rows, sentences) -> logits (rows, vocabulary): `tokens` (rows,) continue the sequences that were in `rows`
of the last call, and `sentences` are the indices, in the last call, of the sentences that have not ended. The first
call has one row per sentence."""


@dataclass(frozen=True)
class GenerationConfig:
    """The fields of transformers' GenerationConfig that are supported."""

    decoder_start_token_id: int
    eos_token_id: int
    max_new_tokens: int
    """Largest number of tokens of an output, its end token included."""
    num_beams: int
    length_penalty: float
    suppress_tokens: tuple[int, ...] | None = None
    """Tokens that are never generated; None: the start token."""
    forced_bos_token_id: int | None = None
    forced_eos: bool = True
    """Whether the end token is forced at the maximum length."""
    min_new_tokens: int = 0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    early_stopping: bool = False


def search(decoder_step: DecoderStep, batch_size: int, config: GenerationConfig) -> list[list[int]]:
    """The best sequence of each sentence, without start and end token."""
    if config.num_beams == 1:
        return greedy_search(decoder_step, batch_size, config)
    return beam_search(decoder_step, batch_size, config)


def greedy_search(decoder_step: DecoderStep, batch_size: int, config: GenerationConfig) -> list[list[int]]:
    sequences: list[list[int]] = [[] for _ in range(batch_size)]
    sentences = np.arange(batch_size)  # that have not ended
    tokens, unfinished = np.full(batch_size, config.decoder_start_token_id, np.int64), np.arange(batch_size)
    running = np.zeros((batch_size, 0), np.int64)  # the sequences of the sentences that have not ended
    for _ in range(config.max_new_tokens):
        logits = process_scores(decoder_step(tokens, unfinished, unfinished), running, config)
        tokens = logits.argmax(1).astype(np.int64)
        unfinished = np.flatnonzero(tokens != config.eos_token_id)
        running = np.concatenate([running, tokens[:, None]], 1)[unfinished]
        tokens, sentences = tokens[unfinished], sentences[unfinished]
        for sentence, token in zip(sentences, tokens, strict=True):
            sequences[sentence].append(int(token))
        if not len(sentences):
            break
    return sequences


def beam_search(decoder_step: DecoderStep, batch_size: int, config: GenerationConfig) -> list[list[int]]:
    """Sentences leave the batch as soon as they end; their sequences do not depend on the other sentences."""
    num_beams, max_new_tokens = config.num_beams, config.max_new_tokens
    # Twice as many as beams: if all of the best `num_beams` end at this step, as many are left to continue with.
    beams_to_keep = 2 * num_beams
    best_sequences: list[list[int]] = [[] for _ in range(batch_size)]
    sentences = np.arange(batch_size)  # that have not ended
    running_sequences = np.zeros((batch_size, 1, 0), np.int64)  # (sentence, beam, token)
    running_beam_scores = np.zeros((batch_size, 1), np.float32)
    sequences = np.zeros((batch_size, num_beams, max_new_tokens), np.int64)
    beam_scores = np.full((batch_size, num_beams), MASKED_SCORE)
    is_sent_finished = np.zeros((batch_size, num_beams), bool)
    tokens = np.full(batch_size, config.decoder_start_token_id, np.int64)
    rows, unfinished = np.arange(batch_size), np.arange(batch_size)
    for cur_len in range(max_new_tokens):
        count, width = running_sequences.shape[:2]
        logits = decoder_step(tokens, rows, unfinished)
        sequences_so_far = running_sequences.reshape(count * width, cur_len)
        next_tokens, log_probs = likeliest_tokens(logits, beams_to_keep, sequences_so_far, config)
        candidates = next_tokens.shape[1]
        log_probs = log_probs.reshape(count, width, candidates) + running_beam_scores[:, :, None]
        log_probs = log_probs.reshape(count, -1)
        topk_indices = top_k(log_probs, min(beams_to_keep, log_probs.shape[1]))  # (sentence, candidate)
        topk_log_probs = np.take_along_axis(log_probs, topk_indices, 1)
        topk_current_beam_indices = topk_indices // candidates
        topk_ids = np.take_along_axis(next_tokens.reshape(count, -1), topk_indices, 1)
        topk_running_sequences = np.concatenate(
            [gather_beams(running_sequences, topk_current_beam_indices), topk_ids[:, :, None]], 2
        )
        next_token_hits_stopping_criteria = (topk_ids == config.eos_token_id) | (cur_len + 1 == max_new_tokens)

        topk_running_log_probs = topk_log_probs + next_token_hits_stopping_criteria * MASKED_SCORE
        next_topk_indices = top_k(topk_running_log_probs, min(num_beams, topk_indices.shape[1]))
        running_sequences = gather_beams(topk_running_sequences, next_topk_indices)
        running_beam_scores = np.take_along_axis(topk_running_log_probs, next_topk_indices, 1)

        top_num_beam_mask = np.arange(topk_indices.shape[1]) < num_beams
        did_top_num_beams_just_finished = next_token_hits_stopping_criteria & top_num_beam_mask
        topk_log_probs = topk_log_probs / np.float32((cur_len + 1) ** config.length_penalty)
        topk_log_probs = topk_log_probs + ~did_top_num_beams_just_finished * MASKED_SCORE
        padded = np.zeros((*topk_ids.shape, max_new_tokens), np.int64)
        padded[:, :, : cur_len + 1] = topk_running_sequences
        merged_scores = np.concatenate([beam_scores, topk_log_probs], 1)
        topk_merged_indices = top_k(merged_scores, num_beams)
        beam_scores = np.take_along_axis(merged_scores, topk_merged_indices, 1)
        sequences = gather_beams(np.concatenate([sequences, padded], 1), topk_merged_indices)
        merged_is_sent_finished = np.concatenate([is_sent_finished, did_top_num_beams_just_finished], 1)
        is_sent_finished = np.take_along_axis(merged_is_sent_finished, topk_merged_indices, 1)

        best_possible_running_score = running_beam_scores[:, 0] / np.float32((cur_len + 1) ** config.length_penalty)
        worst_finished_score = np.where(is_sent_finished, beam_scores.min(1, keepdims=True), MASKED_SCORE)
        improvement_possible = (best_possible_running_score[:, None] > worst_finished_score).any(1)
        if config.early_stopping:
            improvement_possible &= ~is_sent_finished.all(1)
        for index in np.flatnonzero(~improvement_possible | (cur_len + 1 == max_new_tokens)):
            best_sequences[sentences[index]] = until_eos(sequences[index, 0], config.eos_token_id)
        unfinished = np.flatnonzero(improvement_possible)
        if not len(unfinished):
            break
        beam_indices = np.take_along_axis(topk_current_beam_indices, next_topk_indices, 1)[unfinished]
        rows = (unfinished[:, None] * width + beam_indices).ravel()
        tokens = running_sequences[unfinished, :, -1].ravel()
        sentences = sentences[unfinished]
        running_sequences, running_beam_scores = running_sequences[unfinished], running_beam_scores[unfinished]
        sequences, beam_scores = sequences[unfinished], beam_scores[unfinished]
        is_sent_finished = is_sent_finished[unfinished]
    return best_sequences


def process_scores(scores: Array, sequences: Array, config: GenerationConfig) -> Array:
    """Scores (rows, vocabulary) after transformers' logits processors; `sequences` (rows, cur_len) is what they follow.

    -inf excludes a token; a forced token is left alone, with 0.
    """
    cur_len = sequences.shape[1]
    forced = None
    if config.forced_eos and cur_len + 1 == config.max_new_tokens:
        forced = config.eos_token_id
    elif cur_len == 0:
        forced = config.forced_bos_token_id
    if forced is not None:
        scores = np.full_like(scores, -np.inf)
        scores[:, forced] = 0
        return scores
    scores = scores.copy()
    with_start = np.concatenate([np.full((len(sequences), 1), config.decoder_start_token_id), sequences], 1)
    if config.repetition_penalty != 1:
        seen = np.take_along_axis(scores, with_start, 1)
        penalised = np.where(seen < 0, seen * config.repetition_penalty, seen / config.repetition_penalty)
        np.put_along_axis(scores, with_start, penalised, 1)
    if config.no_repeat_ngram_size:
        for row, sequence in enumerate(with_start.tolist()):
            scores[row, banned_tokens(sequence, config.no_repeat_ngram_size)] = -np.inf
    if cur_len < config.min_new_tokens:
        scores[:, config.eos_token_id] = -np.inf
    suppressed = (config.decoder_start_token_id,) if config.suppress_tokens is None else config.suppress_tokens
    scores[:, list(suppressed)] = -np.inf
    return scores


def banned_tokens(sequence: Sequence[int], size: int) -> list[int]:
    """The tokens that would repeat a sequence of `size` tokens."""
    beginning = sequence[len(sequence) - size + 1 :]
    starts = range(len(sequence) - size + 1)
    return [sequence[start + size - 1] for start in starts if sequence[start : start + size - 1] == beginning]


def likeliest_tokens(logits: Array, count: int, sequences: Array, config: GenerationConfig) -> tuple[Array, Array]:
    """The likeliest next tokens (rows, `count` or all), and their log-probabilities, in no particular order."""
    rows, vocabulary = logits.shape
    log_probs, count = process_scores(log_probabilities(logits), sequences, config), min(count, vocabulary)
    # The largest values of a row lie in the groups with the largest maxima: one pass instead of a sort. A group is
    # every `groups`-th token, so that groups are compared as whole rows.
    groups = vocabulary // GROUP
    if groups <= count:
        tokens = np.broadcast_to(np.arange(vocabulary), log_probs.shape)
    else:
        maxima = log_probs[:, : groups * GROUP].reshape(rows, GROUP, groups).max(1)
        best_groups = np.argpartition(-maxima, count - 1, axis=1)[:, :count]
        grouped = (best_groups[:, :, None] + groups * np.arange(GROUP)).reshape(rows, -1)
        ungrouped = np.broadcast_to(np.arange(groups * GROUP, vocabulary), (rows, vocabulary - groups * GROUP))
        tokens = np.concatenate([grouped, ungrouped], 1)
    token_log_probs = np.take_along_axis(log_probs, tokens, 1)
    indices = np.argpartition(-token_log_probs, count - 1, axis=1)[:, :count]
    return np.take_along_axis(tokens, indices, 1), np.take_along_axis(token_log_probs, indices, 1)


def top_k(scores: Array, count: int) -> Array:
    """Indices of the `count` largest scores of each row, best first."""
    unordered = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, unordered, 1), axis=1, kind="stable")
    return np.take_along_axis(unordered, order, 1)


def gather_beams(sequences: Array, beam_indices: Array) -> Array:
    """(sentence, index, token) from (sentence, beam, token)."""
    return np.take_along_axis(sequences, beam_indices[:, :, None], 1)


def until_eos(tokens: Array, eos_token_id: int) -> list[int]:
    sequence: list[int] = tokens.tolist()
    return sequence[: sequence.index(eos_token_id)] if eos_token_id in sequence else sequence
