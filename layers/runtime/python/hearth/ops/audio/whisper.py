"""Whisper's log-mel features, its rules for timestamps, and the segments in its tokens.

Radford et al. 2022; the names and constants are those of openai/whisper (audio.py, decoding.py, transcribe.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from hearth.ops.audio.log_mel import hann

RATE, N_FFT, HOP_LENGTH = 16_000, 400, 160
N_FRAMES = 3000
"""Frames of a window of 30 seconds."""
FRAMES_PER_SECOND = RATE // HOP_LENGTH
TIME_PRECISION = 0.02
"""Seconds between two timestamp tokens."""
FRAMES_PER_TIMESTAMP = 2
MAX_INITIAL_TIMESTAMP = 50
"""Latest first timestamp of a window, in units of TIME_PRECISION."""
BLOCK = 4096
"""Frames whose spectrum is in memory at one time."""
Array = np.ndarray[Any, Any]


def log_mel(samples: Array, mels: int) -> Array:
    """(mels, frames) of mono samples at 16 kHz, followed by the frames of 30 seconds of silence."""
    sound = np.pad(samples, (0, N_FRAMES * HOP_LENGTH))
    sound = np.pad(sound, N_FFT // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(sound, N_FFT)[::HOP_LENGTH][:-1]  # (frames, N_FFT), a view
    filters = mel_filters(mels)
    features = np.empty((mels, len(frames)), np.float32)
    for start in range(0, len(frames), BLOCK):
        spectrum = np.fft.rfft(frames[start : start + BLOCK] * hann(N_FFT), axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        features[:, start : start + BLOCK] = np.log10(np.maximum(power @ filters, 1e-10)).T
    features = np.maximum(features, features.max() - 8)
    normalised: Array = (features + 4) / 4
    return normalised


@lru_cache
def mel_filters(mels: int) -> Array:
    """Triangular filters of Slaney's mel scale with areas of one, (N_FFT // 2 + 1, mels), from 0 to 8 kHz.

    As librosa's `filters.mel` computes them: linear below 1 kHz, logarithmic above (Slaney, Auditory Toolbox, 1998).
    """
    corners = _hertz(np.linspace(0, _mel(RATE / 2), mels + 2))
    bins = np.linspace(0, RATE / 2, N_FFT // 2 + 1)
    rising = (bins[:, None] - corners[None, :-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[None, 2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    triangles = np.maximum(0, np.minimum(rising, falling))
    filters: Array = triangles * (2 / (corners[2:] - corners[:-2]))
    return filters


def _mel(frequency: float) -> float:
    return float(15 + np.log(frequency / 1000) / (np.log(6.4) / 27))


def _hertz(mels: Array) -> Array:
    frequencies: Array = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))
    return frequencies


def apply_timestamp_rules(logprobs: Array, tokens: Sequence[int], timestamp_begin: int, eot: int) -> None:
    """Set the log-probabilities (vocabulary,) of tokens that cannot follow `tokens` to minus infinity, in place.

    Timestamps come in pairs, except directly before the end, and do not decrease; the first token is a timestamp.
    """
    last_was_timestamp = len(tokens) >= 1 and tokens[-1] >= timestamp_begin
    penultimate_was_timestamp = len(tokens) < 2 or tokens[-2] >= timestamp_begin
    if last_was_timestamp and penultimate_was_timestamp:
        logprobs[timestamp_begin:] = -np.inf  # text must follow
    elif last_was_timestamp:
        logprobs[:eot] = -np.inf  # no text can follow
    timestamps = [token for token in tokens if token >= timestamp_begin]
    if timestamps:
        is_open = last_was_timestamp and not penultimate_was_timestamp
        logprobs[timestamp_begin : timestamps[-1] + (0 if is_open else 1)] = -np.inf
    if not tokens:
        logprobs[:timestamp_begin] = -np.inf
        logprobs[timestamp_begin + MAX_INITIAL_TIMESTAMP + 1 :] = -np.inf
    # A timestamp is sampled where all of them together are likelier than any text.
    text, times = logprobs[:timestamp_begin], logprobs[timestamp_begin:]
    if np.isfinite(times).any() and np.logaddexp.reduce(times) > text.max():
        logprobs[:timestamp_begin] = -np.inf


class Segment(NamedTuple):
    start: float
    """Seconds from the beginning of the window, as is `end`."""
    end: float
    tokens: list[int]
    """Without timestamps."""


def split_segments(tokens: Sequence[int], timestamp_begin: int, frames: int) -> tuple[list[Segment], int]:
    """The segments of a window whose recording has `frames` frames, and the frames that they cover, at least those of a
    second: the next window begins after the last segment that is complete."""
    is_timestamp = [token >= timestamp_begin for token in tokens]
    ends = [index for index in range(1, len(tokens)) if is_timestamp[index - 1] and is_timestamp[index]]
    single_timestamp_ending = len(tokens) >= 2 and not is_timestamp[-2] and is_timestamp[-1]
    if not ends:
        times = [(token - timestamp_begin) * TIME_PRECISION for token in tokens if token >= timestamp_begin]
        duration = times[-1] if times and times[-1] > 0 else frames / FRAMES_PER_SECOND
        start = times[0] if len(times) > 1 else 0.0
        text = [token for token in tokens if token < timestamp_begin]
        return ([Segment(start, duration, text)] if text else []), frames
    if single_timestamp_ending:
        ends.append(len(tokens))
    segments, first = [], 0
    for end in ends:
        part = tokens[first:end]
        text = [token for token in part if token < timestamp_begin]
        times = [(token - timestamp_begin) * TIME_PRECISION for token in part if token >= timestamp_begin]
        if text:
            segments.append(Segment(times[0], times[-1], text))
        first = end
    if single_timestamp_ending:
        return segments, frames
    covered = (tokens[ends[-1] - 1] - timestamp_begin) * FRAMES_PER_TIMESTAMP
    return segments, min(max(covered, FRAMES_PER_SECOND), frames)
