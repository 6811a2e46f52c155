"""What an explanation of a transcript is of: the log-probability of each of its words, for the recording with segments
silenced.

With a CTC model, a word's log-probability is that of its letters over all of their paths within the frames that are the
word's in the whole recording, so a segment counts for the words that are spoken in it. With Whisper it is that of the
word's tokens after those before them (teacher forcing), in the windows of the whole recording.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hearth import deadline
from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.attribution import Floats
from hearth.ops.audio.ctc import Logs
from hearth.ops.audio.ctc_alignment import align, log_likelihood
from hearth.ops.audio.whisper import N_FRAMES, log_mel
from hearth.ops.text.sampling import log_probabilities
from hearth.ops.text.token_words import TokenWord, token_words
from hearth.tasks.explanation.parts import WORD
from hearth.tasks.explanation.subjects import Subject
from hearth.tasks.explanation.written_text import choose, find_words
from hearth.tasks.schema import ExplainOptions
from hearth.tasks.task import Prediction
from hearth.tasks.whisper import DecoderState, Part, WhisperModel

Samples = np.ndarray[Any, Any]
SEPARATOR = " "


def spoken_letters(
    recording: bytes,
    options: ExplainOptions,
    prediction: Prediction,
    labels: Sequence[str],
    blank: int,
    logprobs_of: Callable[[bytes], Logs],
    symbols: Sequence[int],
) -> Subject:
    """What an explanation of a CTC model's transcript, or of the word `options.target` in it, is of.

    `logprobs_of`: a recording -> (frames, symbols). `symbols` are those of the transcript. Raises BadRequest.
    """
    logprobs = logprobs_of(recording)
    words = split_words(logprobs, symbols, labels, blank)
    if not words:
        raise BadRequest("No words were recognised; there is nothing to explain", param="parameters.explain")
    edges = [*(first for _, _, first in words), len(logprobs)]

    def score(recordings: Sequence[bytes]) -> Floats:
        rows = []
        for part in recordings:
            deadline.check()
            logs = logprobs_of(part)
            spans = zip(words, pairwise(edges), strict=True)
            rows.append([log_likelihood(logs[first:end], letters, blank) for (_, letters, _), (first, end) in spans])
        return np.array(rows)

    text = prediction.output.text
    spans = find_words(text, [TokenWord(word, 0, 0) for word, _, _ in words])
    name, chosen = options.target or text, choose(spans, options.target)
    return Subject(prediction, recording, name, "log-probability", score, spans, chosen)


def split_words(
    logprobs: Logs, symbols: Sequence[int], labels: Sequence[str], blank: int
) -> list[tuple[str, Sequence[int], int]]:
    """The words of a transcript: each with its symbols, the separators after it included, and its first frame."""
    words: list[list[int]] = []
    for index, symbol in enumerate(symbols):
        follows = index and labels[symbols[index - 1]] == SEPARATOR
        if not words or (follows and labels[symbol] != SEPARATOR):
            words.append([])
        words[-1].append(index)
    if not any(labels[symbol] != SEPARATOR for symbol in symbols):
        return []
    if all(labels[symbols[index]] == SEPARATOR for index in words[0]):
        words[0:2] = [words[0] + words[1]]
    spans = align(logprobs, symbols, blank)
    result: list[tuple[str, Sequence[int], int]] = []
    for number, indices in enumerate(words):
        first, before = spans[indices[0]][0], spans[indices[0] - 1][1]
        letters = [symbols[index] for index in indices]
        text = "".join(labels[symbol] for symbol in letters).strip(SEPARATOR)
        result.append((text, letters, (before + first + 1) // 2 if number else 0))
    return result


def spoken_words(
    model: WhisperModel,
    recording: bytes,
    options: ExplainOptions,
    prediction: Prediction,
    windows: Sequence[Part],
    read: Callable[[bytes], Samples],
) -> Subject:
    """What an explanation of a Whisper's transcript, or of the word `options.target` in it, is of. Raises
    BadRequest."""
    head, tokenizer = model.head, model.tokenizer
    kept = [[token for token in window.tokens if not _is_time(head.timestamps, token)] for window in windows]

    def decode(tokens: Sequence[int]) -> str:
        return str(tokenizer.decode([*tokens], skip_special_tokens=True))

    words = [token_words(tokens, decode, WORD) if tokens else [] for tokens in kept]
    if not any(words):
        raise BadRequest("No words were recognised; there is nothing to explain", param="parameters.explain")

    def score(recordings: Sequence[bytes]) -> Floats:
        rows = []
        for part in recordings:
            features = log_mel(read(part), model.preprocessing.mels)
            row: list[float] = []
            rest = 0.0  # the ends of all windows
            for window, words_of_window in zip(windows, words, strict=True):
                scores = score_window(model, features[None, :, window.position : window.position + N_FRAMES], window)
                row += [float(scores[word.first : word.end].sum()) for word in words_of_window]
                rest += float(scores[words_of_window[-1].end :].sum()) if words_of_window else 0.0
            rows.append([*row, rest])
        return np.array(rows)

    text = prediction.output.text
    spans = find_words(text, [word for words_of_window in words for word in words_of_window])
    name, chosen = options.target or text, choose(spans, options.target)
    return Subject(prediction, recording, name, "log-probability", score, spans, chosen)


def score_window(model: Model[AudioPreprocessing, Any], features: Samples, window: Part) -> Samples:
    """Log-probabilities of the tokens of a window that are no times, and of its end, if that is in the transcript.
    Raises DeadlineExceeded."""
    head, state = model.head, DecoderState(model, features)
    logits, scores = state.feed(window.prompt), []
    for token in [*window.tokens, *[head.eos] * window.is_whole]:
        deadline.check()
        if not _is_time(head.timestamps, token):
            scores.append(float(log_probabilities(logits[None])[0, token]))
        if token != head.eos:
            logits = state.feed([token])
    return np.array(scores)


def _is_time(timestamps: int | None, token: int) -> bool:
    return timestamps is not None and token >= timestamps
