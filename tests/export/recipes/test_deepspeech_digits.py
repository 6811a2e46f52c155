from __future__ import annotations

import io

import numpy as np
import soundfile
import torch

from hearth_build.recipes.deepspeech_digits import data


def test_batches_hold_every_recording_and_are_repeatable(digit_strings: data.Strings) -> None:
    plan = digit_strings.plan(0, 4, seed=1)
    assert sorted(index for batch in plan for index in batch) == list(range(20))
    for progress in (0.0, 0.5, 1.0):
        torch.manual_seed(3)
        first = digit_strings.collate(plan[0], progress)
        torch.manual_seed(3)
        second = digit_strings.collate(plan[0], progress)
        assert all(torch.equal(first[name], second[name]) for name in first)
        assert first["features"].isfinite().all()
        texts = [
            "".join(data.ALPHABET[letter] for letter in row[:length].tolist())
            for row, length in zip(first["targets"], first["lengths"].tolist(), strict=True)
        ]
        assert all(word in data.WORDS for text in texts for word in text.split())
        if progress == 0:
            assert all(len(text.split()) <= 1 for text in texts)


def test_strings_are_of_one_speaker_and_have_their_text() -> None:
    takes = [
        data.Take(digit, speaker, 0, np.full(100, digit / 10, np.float32))
        for digit in range(10)
        for speaker in ("first", "second")
    ]
    for sound, text in data.make_strings(takes, 20, seed=1):
        words = text.split()
        assert 2 <= len(words) <= data.MAX_DIGITS
        assert set(words) <= set(data.WORDS)
        assert len(sound) >= 100 * len(words) + len(words) * int(0.05 * data.FEATURES.rate)
    assert [text for _, text in data.make_strings(takes, 5, seed=1)] == [
        text for _, text in data.make_strings(takes, 5, seed=1)
    ]


def test_sounds_are_encoded_as_they_are() -> None:
    sound = np.sin(np.arange(800) / 10).astype(np.float32)
    samples, rate = soundfile.read(io.BytesIO(data.wav(sound)))
    assert rate == data.FEATURES.rate
    np.testing.assert_allclose(samples, sound, atol=1e-4)
