"""Log-mel features against torch's short-time Fourier transform and filters computed one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio.log_mel import POWER_FLOOR, frame_count, log_mel, spectrogram

DIGITS = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900, normalise="none")
SPEECH = AudioPreprocessing(rate=16000, window=320, hop=160, fft=512, mels=64, low=0, high=8000, normalise="none")


def noise(samples: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (np.random.default_rng(3).standard_normal(samples) * 0.1).astype(np.float32)


def reference_power(sound: np.ndarray, preprocessing: AudioPreprocessing) -> np.ndarray:
    """Pad each window with zeros to the `fft` samples that torch.stft needs."""
    frames = (
        torch.from_numpy(sound).double().unfold(0, preprocessing.window, preprocessing.hop)
        * torch.hann_window(preprocessing.window).double()
    )
    padded = torch.nn.functional.pad(frames, (0, preprocessing.fft - preprocessing.window))
    rows = [
        torch.stft(
            row,
            preprocessing.fft,
            preprocessing.fft,
            window=torch.ones(preprocessing.fft).double(),
            center=False,
            return_complex=True,
        )
        for row in padded
    ]
    return torch.stack([row[:, 0].abs() ** 2 for row in rows]).numpy()


def reference_filter(preprocessing: AudioPreprocessing, band: int) -> list[float]:
    def mel(hertz: float) -> float:
        return 1127.01048 * math.log(1 + hertz / 700)

    step = (mel(preprocessing.high) - mel(preprocessing.low)) / (preprocessing.mels + 1)
    left, middle, right = (
        700 * (math.exp((mel(preprocessing.low) + step * (band + i)) / 1127.01048) - 1) for i in range(3)
    )
    weights = []
    for bin in range(preprocessing.fft // 2 + 1):
        hertz = bin * preprocessing.rate / preprocessing.fft
        rising, falling = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
        weights.append(max(0.0, min(rising, falling)))
    return weights


@pytest.mark.parametrize("preprocessing", [DIGITS, SPEECH])
def test_the_spectrogram_equals_torchs(preprocessing: AudioPreprocessing) -> None:
    sound = noise(3210)
    np.testing.assert_allclose(
        spectrogram(sound, preprocessing.window, preprocessing.hop, preprocessing.fft),
        reference_power(sound, preprocessing),
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.parametrize("preprocessing", [DIGITS, SPEECH])
def test_log_mel_is_the_logarithm_of_triangular_mel_filters(preprocessing: AudioPreprocessing) -> None:
    sound = noise(3210)
    filters = np.array([reference_filter(preprocessing, band) for band in range(preprocessing.mels)])  # (mels, bins)
    expected = np.log(np.maximum(reference_power(sound, preprocessing) @ filters.T, POWER_FLOOR))
    actual = log_mel(sound, preprocessing)
    assert actual.dtype == np.float32
    assert actual.shape == (frame_count(3210, preprocessing.window, preprocessing.hop), preprocessing.mels)
    np.testing.assert_allclose(actual, expected, atol=2e-3)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (199, 1), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_number_of_frames_of_short_and_long_sound(samples: int, frames: int) -> None:
    assert len(log_mel(noise(samples), DIGITS)) == frames == frame_count(samples, 200, 80)


def test_normalised_features_do_not_depend_on_loudness() -> None:
    preprocessing = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900)
    loud, soft = log_mel(noise(4000), preprocessing), log_mel(noise(4000) * np.float32(0.3), preprocessing)
    np.testing.assert_allclose(loud, soft, atol=1e-3)
    np.testing.assert_allclose(loud.mean(0), 0, atol=1e-5)
    assert loud.std() == pytest.approx(1, abs=1e-4)


def test_features_of_silence_are_flat_and_finite() -> None:
    preprocessing = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900)
    np.testing.assert_allclose(log_mel(np.zeros(4000, np.float32), preprocessing), 0, atol=1e-2)
