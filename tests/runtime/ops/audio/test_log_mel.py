"""Log-mel features against torch's short-time Fourier transform and filters written out one by one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hearth.models.manifest import AudioPreprocessing
from hearth.ops.audio.log_mel import POWER_FLOOR, frame_count, log_mel, spectrogram

DIGITS = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900, normalise="none")
SPEECH = AudioPreprocessing(rate=16000, window=320, hop=160, fft=512, mels=64, low=0, high=8000, normalise="none")


def noise(samples: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return (np.random.default_rng(3).standard_normal(samples) * 0.1).astype(np.float32)


def reference_power(sound: np.ndarray, how: AudioPreprocessing) -> np.ndarray:
    """torch.stft wants frames of `fft` samples: each is the window's samples and zeros."""
    frames = torch.from_numpy(sound).double().unfold(0, how.window, how.hop) * torch.hann_window(how.window).double()
    padded = torch.nn.functional.pad(frames, (0, how.fft - how.window))
    rows = [
        torch.stft(row, how.fft, how.fft, window=torch.ones(how.fft).double(), center=False, return_complex=True)
        for row in padded
    ]
    return torch.stack([row[:, 0].abs() ** 2 for row in rows]).numpy()


def reference_filter(how: AudioPreprocessing, band: int) -> list[float]:
    def mel(hertz: float) -> float:
        return 1127.01048 * math.log(1 + hertz / 700)

    step = (mel(how.high) - mel(how.low)) / (how.mels + 1)
    left, middle, right = (700 * (math.exp((mel(how.low) + step * (band + i)) / 1127.01048) - 1) for i in range(3))
    weights = []
    for line in range(how.fft // 2 + 1):
        hertz = line * how.rate / how.fft
        up, down = (hertz - left) / (middle - left), (right - hertz) / (right - middle)
        weights.append(max(0.0, min(up, down)))
    return weights


@pytest.mark.parametrize("how", [DIGITS, SPEECH])
def test_the_spectrogram_is_torchs(how: AudioPreprocessing) -> None:
    sound = noise(3210)
    np.testing.assert_allclose(
        spectrogram(sound, how.window, how.hop, how.fft), reference_power(sound, how), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("how", [DIGITS, SPEECH])
def test_log_mel_is_the_logarithm_of_triangles_on_the_mel_scale(how: AudioPreprocessing) -> None:
    sound = noise(3210)
    filters = np.array([reference_filter(how, band) for band in range(how.mels)])  # (mels, lines)
    wanted = np.log(np.maximum(reference_power(sound, how) @ filters.T, POWER_FLOOR))
    found = log_mel(sound, how)
    assert found.dtype == np.float32
    assert found.shape == (frame_count(3210, how.window, how.hop), how.mels)
    np.testing.assert_allclose(found, wanted, atol=2e-3)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (199, 1), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_frames_of_short_and_long_sound(samples: int, frames: int) -> None:
    assert len(log_mel(noise(samples), DIGITS)) == frames == frame_count(samples, 200, 80)


def test_an_utterances_features_do_not_know_how_loud_it_is() -> None:
    how = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900)
    loud, soft = log_mel(noise(4000), how), log_mel(noise(4000) * np.float32(0.3), how)
    np.testing.assert_allclose(loud, soft, atol=1e-3)
    np.testing.assert_allclose(loud.mean(0), 0, atol=1e-5)
    assert loud.std() == pytest.approx(1, abs=1e-4)


def test_digital_silence_is_flat_and_finite() -> None:
    how = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60, high=3900)
    np.testing.assert_allclose(log_mel(np.zeros(4000, np.float32), how), 0, atol=1e-2)
