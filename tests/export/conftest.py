from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hearth import settings
from hearth.models.cache import warm_cache

if TYPE_CHECKING:
    from hearth_build.recipes.deepspeech_digits import data

pytest.importorskip("torch", reason="the export extra (torch) is not installed")
pytest.importorskip("onnxscript", reason="the export extra (onnxscript) is not installed")


@pytest.fixture(scope="session")
def toy_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of the toy recipe after a complete build."""
    from hearth_build.pipeline.build import build
    from tests.export import toy

    work = tmp_path_factory.mktemp("toy")
    build(toy.recipe(), work, "hearth build toy")
    return work


@pytest.fixture(scope="session")
def translation_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of toy_translation."""
    from tests.export import toy_translation

    work = tmp_path_factory.mktemp("translation")
    toy_translation.write_data(work)
    return work


@pytest.fixture
def digit_strings() -> data.Strings:
    """Two recordings of each digit; every digit has its own tone."""
    from hearth.ops.audio.log_mel import logarithm, mel_power
    from hearth_build.recipes.deepspeech_digits import data

    powers, digits = [], []
    for digit in range(10):
        for _ in range(2):
            tone = np.sin(np.arange(2400) * 2 * np.pi * (300 + 300 * digit) / data.FEATURES.rate).astype(np.float32)
            for speed in data.SPEEDS:
                powers.append(logarithm(mel_power(data.change_speed(tone, speed), data.FEATURES)).astype(np.float16))
            digits.append(digit)
    noise = mel_power(data.white_noise(np.random.default_rng(0), 40_000, 1.0), data.FEATURES)
    return data.Strings(np.array(digits), np.array(["someone"] * 20), powers, (noise, noise))


@pytest.fixture(autouse=True)
def environment_of_commands() -> Iterator[None]:
    """Restore what a command changes in this process: its variables and what was read from them."""
    before = dict(os.environ)
    forget_settings()
    yield
    os.environ.clear()
    os.environ.update(before)
    forget_settings()


def forget_settings() -> None:
    settings.get.cache_clear()
    warm_cache.cache_clear()
