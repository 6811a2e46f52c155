"""Whisper's features equal transformers'; its rules for timestamps and its segments are those of openai/whisper."""

from __future__ import annotations

import numpy as np
import pytest

from hearth.ops.audio.whisper import (
    N_FRAMES,
    RATE,
    Segment,
    apply_timestamp_rules,
    log_mel,
    mel_filters,
    split_segments,
)

BEGIN, EOT = 100, 90
"""The first timestamp's token, and the end's. Smaller tokens are text."""


def test_features_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    time = np.arange(2 * RATE) / RATE
    samples = (np.sin(2 * np.pi * 440 * time) * np.exp(-time)).astype(np.float32)
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(samples, sampling_rate=RATE, return_tensors="np")["input_features"][0]
    np.testing.assert_allclose(log_mel(samples, 80)[:, :N_FRAMES], expected, atol=1e-4)


@pytest.mark.parametrize("mels", [80, 128])
def test_filters_are_slaneys(mels: int) -> None:
    audio_utils = pytest.importorskip("transformers.audio_utils")
    expected = audio_utils.mel_filter_bank(201, mels, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(mels), expected, atol=1e-7)


def rules(tokens: list[int], logits: dict[int, float] | None = None) -> set[int]:
    """The tokens that may follow."""
    logprobs = np.full(150, -5.0)
    for token, value in (logits or {}).items():
        logprobs[token] = value
    apply_timestamp_rules(logprobs, tokens, BEGIN, EOT)
    return set(np.flatnonzero(np.isfinite(logprobs)).tolist())


def test_a_window_begins_with_a_timestamp_of_its_first_second() -> None:
    logprobs = np.full(200, -5.0)
    apply_timestamp_rules(logprobs, [], BEGIN, EOT)
    assert set(np.flatnonzero(np.isfinite(logprobs)).tolist()) == set(range(BEGIN, BEGIN + 51))


def test_timestamps_come_in_pairs() -> None:
    assert max(rules([100, 5, 110, 110], {3: 9.0})) < BEGIN  # text follows a pair
    assert not rules([100, 5, 110], {3: 9.0}) & set(range(EOT))  # after one alone its pair or the end
    assert 110 in rules([100, 5, 110])  # the pair may be the same time


def test_timestamps_do_not_decrease_and_are_taken_where_they_are_likelier_than_any_text() -> None:
    assert rules([100, 5, 110, 110, 6], {3: 9.0}) & set(range(BEGIN, 150)) == set(range(111, 150))
    assert 3 in rules([100, 5, 110, 110, 6], {3: 9.0})
    assert 3 not in rules([100, 5, 110, 110, 6], {120: 9.0})


def test_segments_end_at_pairs_and_the_next_window_after_the_last_one() -> None:
    tokens = [BEGIN, 1, 2, BEGIN + 50, BEGIN + 50, 3, BEGIN + 100, BEGIN + 100, 4]
    segments, covered = split_segments(tokens, BEGIN, 3000)
    assert segments == [Segment(0.0, 1.0, [1, 2]), Segment(1.0, 2.0, [3])]
    assert covered == 200  # two seconds; what follows is read again


def test_a_window_that_ends_with_one_timestamp_is_complete() -> None:
    segments, covered = split_segments([BEGIN, 1, BEGIN + 50, BEGIN + 50, 3, BEGIN + 75], BEGIN, 1500)
    assert segments == [Segment(0.0, 1.0, [1]), Segment(1.0, 1.5, [3])]
    assert covered == 1500


@pytest.mark.parametrize(
    ("tokens", "segments"),
    [
        ([1, 2], [Segment(0.0, 5.0, [1, 2])]),
        ([BEGIN + 10, 1, BEGIN + 60], [Segment(0.2, 1.2, [1])]),
        ([], []),
    ],
)
def test_a_window_without_pairs_is_one_segment(tokens: list[int], segments: list[Segment]) -> None:
    actual, covered = split_segments(tokens, BEGIN, 500)
    assert covered == 500
    assert [part.tokens for part in actual] == [part.tokens for part in segments]
    for part, expected in zip(actual, segments, strict=True):
        assert (part.start, part.end) == pytest.approx((expected.start, expected.end))
