"""Free Spoken Digit Dataset: recordings of one digit, joined at random into strings of digits.

The mel power of every training recording is computed once, at several speeds; joining, gain, noise and masks are done
on that, because the power of a sum of two sounds is, but for their chance agreement, the sum of their powers.
"""

from __future__ import annotations

import io
import tarfile
import wave
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hearth.models.manifest import AudioPreprocessing
from hearth.ops.audio.log_mel import Floats, log_mel, logarithm, mel_power, normalise
from hearth_build.data.datasets import Source, unique
from hearth_build.recipe import Batch, Example

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
BLANK = len(ALPHABET)
FEATURES = AudioPreprocessing(
    rate=8000, window=200, hop=80, fft=256, mels=40, low=60.0, high=3900.0, normalise="utterance"
)
DEV_TAKES = range(5, 10)
"""These recordings of every speaker's every digit are what the model is judged on."""
CHOICE_TAKES = range(10, 12)
"""These choose the epoch."""
LONGEST = 7
SPEEDS = (0.84, 0.9, 0.96, 1.0, 1.05, 1.12, 1.19)
NOISE_FRAMES = 3000
MARGIN = 0.25
"""Seconds of silence put around a sound before it is heard: else a third of tightly cut digits are misheard."""
SOURCE = Source(
    path="speech/fsdd_train.tar.gz",
    title="Free Spoken Digit Dataset, takes 5 to 49",
    published="https://github.com/Jakobovski/free-spoken-digit-dataset",
    licence="CC BY-SA 4.0",
    sha256="0cfb2c23d95f87ebeac9d256dd8605a15026303981c704b39008a3fc533260f6",
)


@dataclass(frozen=True)
class Take:
    """One recording."""

    digit: int
    speaker: str
    number: int
    sound: Floats


def prepare(work: Path) -> None:
    """Write takes.npz (`digits`, `speakers`, `numbers`, `ends` of each recording in `samples`, int16) and powers.npz:
    log mel power, float16 (frames, mels), of each training recording at each speed, one after the other (`lengths`),
    and of white and of low noise at a standard deviation of one."""
    takes: list[tuple[str, str, int, bytes]] = []
    with tarfile.open(SOURCE.file()) as archive:
        for member in archive:
            opened = archive.extractfile(member) if member.name.endswith(".wav") else None
            if opened is not None:
                digit, speaker, number = Path(member.name).stem.split("_")
                with wave.open(io.BytesIO(opened.read())) as file:
                    takes.append((digit, speaker, int(number), file.readframes(file.getnframes())))
    takes.sort(key=lambda take: take[:3])
    takes = unique(takes, lambda take: take[3].hex(), set())
    sounds = [np.frombuffer(take[3], np.int16) for take in takes]
    np.savez(
        work / "takes.npz",
        digits=np.array([int(take[0]) for take in takes]),
        speakers=np.array([take[1] for take in takes]),
        numbers=np.array([take[2] for take in takes]),
        ends=np.cumsum([len(sound) for sound in sounds]),
        samples=np.concatenate(sounds),
    )
    powers = [
        logarithm(mel_power(hurried(take.sound, speed), FEATURES)) for take in training_takes(work) for speed in SPEEDS
    ]
    random = np.random.default_rng(0)
    white = hiss(random, NOISE_FRAMES * FEATURES.hop, 1.0)
    low = np.convolve(white, np.ones(8, np.float32) / np.sqrt(8).astype(np.float32), "same")
    np.savez(
        work / "powers.npz",
        lengths=np.array([len(power) for power in powers]),
        frames=np.concatenate(powers).astype(np.float16),
        white=logarithm(mel_power(white, FEATURES)),
        low=logarithm(mel_power(low, FEATURES)),
    )


def hurried(sound: Floats, speed: float) -> Floats:
    """Faster and higher, or slower and lower, as a tape is."""
    moments = np.arange(0, len(sound) - 1, speed)
    return np.interp(moments, np.arange(len(sound)), sound).astype(np.float32)


def hiss(random: np.random.Generator, samples: int, level: float) -> Floats:
    return random.standard_normal(samples, np.float32) * np.float32(level)


def read(work: Path) -> list[Take]:
    stored = np.load(work / "takes.npz")
    sounds = np.split(stored["samples"].astype(np.float32) / 32768, stored["ends"][:-1])
    columns = zip(stored["digits"], stored["speakers"], stored["numbers"], sounds, strict=True)
    return [Take(int(digit), str(speaker), int(number), sound) for digit, speaker, number, sound in columns]


def training_takes(work: Path) -> list[Take]:
    return [take for take in read(work) if take.number not in (*DEV_TAKES, *CHOICE_TAKES)]


def takes_of(work: Path, numbers: range) -> list[Take]:
    return [take for take in read(work) if take.number in numbers]


def joined(
    takes: Sequence[Take], count: int, seed: int, pauses: tuple[float, float] = (0.05, 0.4)
) -> list[tuple[Floats, str]]:
    """Strings of two to LONGEST digits of one speaker each, with faint hiss of so many seconds after each digit, and
    their texts."""
    random = np.random.default_rng(seed)
    speakers = sorted({take.speaker for take in takes})
    strings = []
    for _ in range(count):
        speaker = speakers[random.integers(len(speakers))]
        own = [take for take in takes if take.speaker == speaker]
        chosen = [own[random.integers(len(own))] for _ in range(random.integers(2, LONGEST + 1))]
        parts: list[Floats] = []
        for take in chosen:
            parts += [take.sound, hiss(random, int(random.uniform(*pauses) * FEATURES.rate), 3e-4)]
        strings.append((np.concatenate(parts), " ".join(WORDS[take.digit] for take in chosen)))
    return strings


def wav(sound: Floats) -> bytes:
    """A mono 16-bit file."""
    opened = io.BytesIO()
    with wave.open(opened, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FEATURES.rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return opened.getvalue()


def dev_digits(work: Path) -> list[Example]:
    return [Example(wav(take.sound), WORDS[take.digit]) for take in takes_of(work, DEV_TAKES)]


def dev_strings(pauses: tuple[float, float]) -> Callable[[Path], list[Example]]:
    def read_strings(work: Path) -> list[Example]:
        made = joined(takes_of(work, DEV_TAKES), 200, 7, pauses)
        return [Example(wav(sound), text) for sound, text in made]

    return read_strings


def calibration(work: Path) -> list[Batch]:
    """Features of strings of training recordings, for measuring activation ranges."""
    made = joined(training_takes(work), 100, seed=3)
    return [{"features": torch.from_numpy(log_mel(sound, FEATURES))[None]} for sound, _ in made]


def synthetic() -> list[bytes]:
    """Sounds of our own making: a swept tone, a buzz that swells, and silence."""
    seconds = np.arange(int(1.2 * FEATURES.rate)) / FEATURES.rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 700 * seconds) * seconds)
    buzz = 0.2 * np.sign(np.sin(2 * np.pi * 120 * seconds)) * np.sin(np.pi * seconds / 1.2) ** 2
    return [wav(sound.astype(np.float32)) for sound in (sweep, buzz, np.zeros(4000))]


@dataclass
class Strings:
    """Training batches: random strings of digits, as many in each of a batch.

    Each index is the recording that begins a string; the others are drawn. Strings grow with the training's progress,
    because CTC learns its alignment on short ones first.
    """

    digits: NDArray[np.int64]
    speakers: NDArray[np.str_]
    powers: list[NDArray[np.float16]]
    """Of each recording at each speed, as prepare wrote them."""
    noises: tuple[Floats, Floats]
    """Power."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.digits))
        count = len(order) // size
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        most = 1 + min(int(progress * 16), LONGEST - 1)
        weights = 1 / np.sqrt(np.arange(1, most + 1))
        digits = 1 + int(random.choice(most, p=weights / weights.sum()))
        made = [self.string(random, index, digits) for index in indices]
        longest = max(len(power) for power, _ in made) + int(random.uniform(0, 0.6) * FEATURES.rate / FEATURES.hop)
        features = [masked(random, normalise(logarithm(self.placed(random, power, longest)))) for power, _ in made]
        texts = [[ALPHABET.index(letter) for letter in text] for _, text in made]
        targets = torch.full((len(texts), max(1, *map(len, texts))), BLANK)
        for row, text in enumerate(texts):
            targets[row, : len(text)] = torch.tensor(text)
        lengths = torch.tensor([len(text) for text in texts])
        return {"features": torch.from_numpy(np.stack(features)), "targets": targets, "lengths": lengths}

    def string(self, random: np.random.Generator, first: int, digits: int) -> tuple[Floats, str]:
        """Power, (frames, mels), and text. Few are of silence."""
        if random.random() < 0.02:
            return np.zeros((int(random.integers(10, 30)) * digits, FEATURES.mels), np.float32), ""
        mixed = random.random() < 0.3
        chosen = [first]
        while len(chosen) < digits:
            other = int(random.integers(len(self.digits)))
            if mixed or self.speakers[other] == self.speakers[first]:
                chosen.append(other)
        speed = int(random.integers(len(SPEEDS)))
        pace = random.uniform(0.88, 1.12)
        parts: list[Floats] = []
        for index in chosen:
            if parts and random.random() < 0.85:
                pause = random.exponential(12) if random.random() < 0.9 else random.uniform(0, 80)
                parts.append(np.zeros((int(pause), FEATURES.mels), np.float32))
            power = np.exp(self.powers[index * len(SPEEDS) + speed].astype(np.float32))
            frames = np.arange(0, len(power) - 0.5, pace).astype(int)
            parts.append(power[frames] * np.float32(random.uniform(0.4, 2.0)))
        return np.concatenate(parts), " ".join(WORDS[self.digits[index]] for index in chosen)

    def placed(self, random: np.random.Generator, power: Floats, length: int) -> Floats:
        """The power somewhere in `length` frames, over noise, at another gain."""
        whole = np.zeros((length, FEATURES.mels), np.float32)
        start = int(random.integers(length - len(power) + 1))
        whole[start : start + len(power)] = power
        white, low = self.noises
        if random.random() < 0.8:  # hiss of the room, else digital silence
            whole += frames_of(random, white, length) * np.float32(10 ** random.uniform(-10, -5.5))
        if random.random() < 0.4:
            noise = frames_of(random, white if random.random() < 0.5 else low, length)
            whole += noise * np.float32(power.mean() / noise.mean() * 10 ** -random.uniform(0.8, 4))
        return whole * np.float32(10 ** random.uniform(-1.6, 1.2))


def frames_of(random: np.random.Generator, noise: Floats, length: int) -> Floats:
    return noise[(int(random.integers(len(noise))) + np.arange(length)) % len(noise)]


def masked(random: np.random.Generator, features: Floats) -> Floats:
    """SpecAugment (Park et al. 2019): up to two bands of up to six mel channels, and short gaps in time, are zero."""
    for _ in range(random.integers(0, 3)):
        low = random.integers(FEATURES.mels - 6)
        features[:, low : low + random.integers(1, 7)] = 0
    for _ in range(random.integers(0, 1 + max(1, len(features) // 60))):
        start = random.integers(len(features))
        features[start : start + random.integers(1, 6)] = 0
    return features


def training(work: Path) -> Strings:
    takes = training_takes(work)
    stored = np.load(work / "powers.npz")
    return Strings(
        np.array([take.digit for take in takes]),
        np.array([take.speaker for take in takes]),
        np.split(stored["frames"], np.cumsum(stored["lengths"])[:-1]),
        (np.exp(stored["white"]), np.exp(stored["low"])),
    )
