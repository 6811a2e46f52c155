"""Decoded recordings of a data set in one file, and batches of their augmented features with transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from hearth.errors import HearthError, PayloadTooLarge
from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio.log_mel import Floats, logarithm, mel_power, normalise
from hearth.tasks.audio_file import read_audio
from hearth_build.data.files import content
from hearth_build.data.sound_augmentation import change_speed, mask, noise_frames, white_noise
from hearth_build.recipe import Batch, Example

MAX_SECONDS = 30.0
"""Longest recording that is learnt from: longer ones take much memory, and CTC aligns them badly."""
SPEEDS = (0.85, 1.18)
NOISE_SECONDS = 20


class UnreadableSound(Exception):
    """A recording that cannot be decoded, or is too long. The message is the reason in a few words."""


def read_samples(example: Example, rate: int) -> Floats:
    """Mono samples in -1..1 at a rate. Raises UnreadableSound."""
    try:
        return read_audio(content(example.inputs), rate, MAX_SECONDS)
    except PayloadTooLarge:
        raise UnreadableSound(f"longer than {MAX_SECONDS:g} s") from None
    except HearthError as error:
        raise UnreadableSound(str(error).split(";")[0].split(",")[0]) from None


@dataclass(frozen=True)
class Sounds:
    """Mono samples at one rate, int16, in a file that is mapped into memory."""

    samples: np.ndarray
    ends: list[int]
    rate: int

    @classmethod
    def decode(cls, examples: Sequence[Example], path: Path, rate: int) -> Sounds:
        """Decode recordings into a file. Raises UnreadableSound."""
        ends = [0]
        with path.open("wb") as file:
            for example in examples:
                samples = read_samples(example, rate)
                file.write((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
                ends.append(ends[-1] + len(samples))
        return cls(np.memmap(path, "<i2", "r"), ends, rate)

    def __len__(self) -> int:
        return len(self.ends) - 1

    def __getitem__(self, index: int) -> Floats:
        part = self.samples[self.ends[index] : self.ends[index + 1]]
        return part.astype(np.float32) / np.float32(32767)

    def seconds(self, index: int) -> float:
        return (self.ends[index + 1] - self.ends[index]) / self.rate


@dataclass
class AugmentedSpeech:
    """Batches of recordings of similar length with about `size` frames: other speeds, gains and noises, and masks."""

    sounds: Sounds
    targets: list[list[int]]
    """Symbols of each sound."""
    preprocessing: AudioPreprocessing
    blank: int
    noises: list[Floats] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        white = white_noise(random, NOISE_SECONDS * self.preprocessing.rate, 1.0)
        low = np.convolve(white, np.ones(8, np.float32) / np.sqrt(8).astype(np.float32), "same")
        self.noises = [mel_power(noise.astype(np.float32), self.preprocessing) for noise in (white, low)]

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        random = np.random.default_rng((seed, epoch))
        rate = self.preprocessing.rate / self.preprocessing.hop
        frames = np.array([self.sounds.seconds(index) * rate + rate / 2 for index in range(len(self.sounds))])
        order = np.argsort(frames * random.uniform(0.85, 1.15, len(frames)))
        total = np.cumsum(frames[order])
        count = max(1, min(round(total[-1] / size), len(frames)))
        numbers = np.arange(1, count)
        starts = np.searchsorted(total, numbers * total[-1] / count)
        # A recording may be longer than a batch; still no batch is empty, so that all epochs have as many.
        starts = np.maximum(np.maximum.accumulate(starts - numbers) + numbers, numbers)
        batches = np.split(order, np.minimum(starts, len(frames) - count + numbers))
        return [batches[number].tolist() for number in random.permutation(count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        powers = [
            mel_power(change_speed(self.sounds[index], random.uniform(*SPEEDS)), self.preprocessing)
            for index in indices
        ]
        rate = self.preprocessing.rate / self.preprocessing.hop
        longest = max(map(len, powers)) + int(random.uniform(0.1, 1.0) * rate)
        features = [
            mask(random, normalise(logarithm(self.place(random, power, longest)))) for power in powers
        ]  # each (longest, mels)
        texts = [self.targets[index] for index in indices]
        targets = torch.full((len(texts), max(1, *map(len, texts))), self.blank)
        for row, text in enumerate(texts):
            targets[row, : len(text)] = torch.tensor(text)
        return {
            "features": torch.from_numpy(np.stack(features)),
            "targets": targets,
            "lengths": torch.tensor([len(text) for text in texts]),
        }

    def place(self, random: np.random.Generator, power: Floats, length: int) -> Floats:
        """`length` frames with the power at a random position, over noise and with a random gain."""
        padded = np.zeros((length, power.shape[1]), np.float32)
        start = int(random.integers(length - len(power) + 1))
        padded[start : start + len(power)] = power
        if random.random() < 0.8:  # background noise, else digital silence
            padded += noise_frames(random, self.noises[0], length) * np.float32(10 ** random.uniform(-10, -5.5))
        if random.random() < 0.4:
            noise = noise_frames(random, self.noises[int(random.integers(2))], length)
            padded += noise * np.float32(power.mean() / noise.mean() * 10 ** -random.uniform(0.8, 4))
        return padded * np.float32(10 ** random.uniform(-1.6, 1.2))
