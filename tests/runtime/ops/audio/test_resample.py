"""Resampling against sines, whose samples are known at any rate."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hearth.ops.audio.resample import Resampler, resample


def sine(hertz: float, rate: int, seconds: float = 0.5) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


@pytest.mark.parametrize("target", [8000, 16000])
@pytest.mark.parametrize("source", [6000, 8000, 11025, 16000, 22050, 44100, 47999, 48000, 96000])
def test_a_resampled_tone_keeps_frequency_and_phase(source: int, target: int) -> None:
    actual = resample(sine(1000, source), source, target)
    expected = sine(1000, target)
    assert abs(len(actual) - len(expected)) <= 1
    middle = slice(target // 20, len(expected) - target // 20)
    np.testing.assert_allclose(actual[middle], expected[middle], atol=2e-4)


@pytest.mark.parametrize("hertz", [4100, 5000, 9000, 15000])
def test_frequencies_above_the_new_limit_are_removed(hertz: float) -> None:
    resampled = resample(sine(hertz, 44100), 44100, 8000)
    assert np.abs(resampled[400:-400]).max() < 3e-4


def test_frequencies_below_the_new_limit_stay() -> None:
    resampled = resample(sine(3400, 44100), 44100, 8000)[400:-400]
    assert np.sqrt(np.mean(resampled**2)) == pytest.approx(np.sqrt(0.5), rel=1e-3)


def test_a_constant_stays_constant_and_equal_rates_change_nothing() -> None:
    sound = np.full(3000, 0.25, np.float32)
    np.testing.assert_allclose(resample(sound, 11025, 8000)[200:-200], 0.25, atol=1e-6)
    np.testing.assert_array_equal(resample(sound, 8000, 8000), sound)


@pytest.mark.parametrize("samples", [0, 1, 2, 50, 441, 5000])
def test_blocks_of_any_size_give_the_same_result_as_the_whole(samples: int) -> None:
    sound = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    expected = resample(sound, 44100, 8000)
    assert len(expected) == -(-samples * 8000 // 44100)
    for size in (1, 7, 300):
        resampler = Resampler(44100, 8000)
        blocks = [resampler.feed(sound[start : start + size]) for start in range(0, samples, size)]
        np.testing.assert_allclose(np.concatenate([*blocks, resampler.finish()]), expected, atol=1e-6)
