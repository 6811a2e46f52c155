"""Changes of sounds and of their spectra that leave what is said unchanged."""

from __future__ import annotations

import numpy as np

from hearth.ops.audio.log_mel import Floats


def change_speed(sound: Floats, speed: float) -> Floats:
    """Resample the sound: faster and higher, or slower and lower."""
    positions = np.arange(0, len(sound) - 1, speed)
    return np.interp(positions, np.arange(len(sound)), sound).astype(np.float32)


def white_noise(random: np.random.Generator, samples: int, level: float) -> Floats:
    return random.standard_normal(samples, np.float32) * np.float32(level)


def noise_frames(random: np.random.Generator, noise: Floats, length: int) -> Floats:
    """Return `length` frames of noise from a random position."""
    return noise[(int(random.integers(len(noise))) + np.arange(length)) % len(noise)]


def mask(random: np.random.Generator, features: Floats) -> Floats:
    """Apply SpecAugment (Park et al. 2019): set up to two bands of up to six mel channels and short gaps to zero."""
    for _ in range(random.integers(0, 3)):
        low = random.integers(features.shape[1] - 6)
        features[:, low : low + random.integers(1, 7)] = 0
    for _ in range(random.integers(0, 1 + max(1, len(features) // 60))):
        start = random.integers(len(features))
        features[start : start + random.integers(1, 6)] = 0
    return features
