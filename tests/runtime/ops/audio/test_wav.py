"""WAV files have the samples as they are."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from hearth.ops.audio.wav import float_wav


def test_libsndfile_reads_the_same_samples() -> None:
    samples = np.random.default_rng(0).normal(size=1001).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(float_wav(samples, 16_000)), dtype="float32")
    assert rate == 16_000
    assert np.array_equal(read, samples)
