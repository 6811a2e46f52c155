from __future__ import annotations

import numpy as np

from hearth_build.data.sound_augmentation import change_speed, mask, noise_frames, white_noise


def test_a_faster_sound_is_shorter_and_higher() -> None:
    tone = np.sin(np.arange(4000) * 2 * np.pi * 100 / 1000).astype(np.float32)
    faster = change_speed(tone, 1.25)
    assert faster.dtype == np.float32
    assert abs(len(faster) - 3200) <= 1
    peaks = [np.abs(np.fft.rfft(sound)).argmax() / len(sound) for sound in (tone, faster)]
    assert abs(peaks[1] / peaks[0] - 1.25) < 0.01


def test_noise_has_its_level_and_repeats_where_it_is_too_short() -> None:
    random = np.random.default_rng(0)
    noise = white_noise(random, 10_000, 0.1)
    assert abs(noise.std() - 0.1) < 0.01
    assert noise_frames(random, noise[:3, None], 8).shape == (8, 1)


def test_masks_set_bands_and_gaps_to_zero() -> None:
    zeros = []
    for seed in range(20):
        features = mask(np.random.default_rng(seed), np.ones((120, 40), np.float32))
        assert set(np.unique(features)) <= {0, 1}
        zeros.append((features == 0).mean())
    assert 0 < max(zeros) < 0.5
