"""Log-mel spectrograms in NumPy: frames, Hann window, power spectrum, HTK mel filters, natural logarithm.

The mel scale is HTK's, m = 2595 log10(1 + f / 700), with triangles of height one, as in torchaudio and Kaldi
by default (Davis and Mermelstein 1980; Young et al., The HTK Book, 5.4).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from hearth.models.preprocessing import AudioPreprocessing

Floats: TypeAlias = NDArray[np.float32]
POWER_FLOOR = 1e-5
"""Power below which sound counts as silence: about 84 dB under a full-scale sine with a window of 200 samples."""
MIN_DEVIATION = 1e-2
"""Smallest standard deviation that is scaled to one, so that digital silence does not become loud rounding noise."""


def frame_count(samples: int, window: int, hop: int) -> int:
    """Number of frames of that many samples; a sound shorter than one window has one frame."""
    return 1 + max(samples - window, 0) // hop


def spectrogram(sound: Floats, window: int, hop: int, fft: int) -> Floats:
    """Power, (frames, fft // 2 + 1), of mono samples in -1..1. Frames start at 0, hop, 2 hop...; the sound is padded
    with zeros only if it is shorter than one window."""
    if len(sound) < window:
        sound = np.pad(sound, (0, window - len(sound)))
    frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]  # (frames, window), a view
    spectrum = np.fft.rfft(frames * hann(window), fft, axis=1)
    return (spectrum.real**2 + spectrum.imag**2).astype(np.float32)


def mel_power(sound: Floats, preprocessing: AudioPreprocessing) -> Floats:
    """(frames, mels) of mono samples in -1..1 at `preprocessing.rate` Hz."""
    filters = filterbank(
        preprocessing.mels, preprocessing.fft, preprocessing.rate, preprocessing.low, preprocessing.high
    )
    return np.asarray(
        spectrogram(sound, preprocessing.window, preprocessing.hop, preprocessing.fft) @ filters, np.float32
    )


def logarithm(power: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(power, np.float32(POWER_FLOOR))), np.float32)


def log_mel(sound: Floats, preprocessing: AudioPreprocessing) -> Floats:
    """(frames, mels) of mono samples in -1..1 at `preprocessing.rate` Hz."""
    logs = logarithm(mel_power(sound, preprocessing))
    return normalise(logs) if preprocessing.normalise == "utterance" else logs


def normalise(logs: Floats) -> Floats:
    """Shift each mel channel to mean zero and scale all by one standard deviation, against gain and microphone."""
    centred = logs - logs.mean(0, keepdims=True)
    return np.asarray(centred / max(float(centred.std()), MIN_DEVIATION), np.float32)


def standardise(sound: Floats) -> Floats:
    """A waveform of mean zero and variance one, as wav2vec 2.0 takes it."""
    centred = sound - sound.mean()
    return np.asarray(centred / np.sqrt(centred.var() + 1e-7), np.float32)


@lru_cache
def hann(window: int) -> Floats:
    """The periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)


@lru_cache
def filterbank(mels: int, fft: int, rate: int, low: float, high: float) -> Floats:
    """Triangular filters, (fft // 2 + 1, mels), with corners spaced evenly on the mel scale from `low` to `high` Hz."""
    corners = hertz(np.linspace(mel(low), mel(high), mels + 2))
    bins = np.arange(fft // 2 + 1) * rate / fft
    rising = (bins[:, None] - corners[None, :-2]) / (corners[1:-1] - corners[:-2])
    falling = (corners[None, 2:] - bins[:, None]) / (corners[2:] - corners[1:-1])
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def mel(frequency: float) -> float:
    return float(2595 * np.log10(1 + frequency / 700))


def hertz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(700 * (10 ** (mels / 2595) - 1))
