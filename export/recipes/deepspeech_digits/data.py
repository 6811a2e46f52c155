"""Free Spoken Digit Dataset: recordings of single digits, concatenated at random into strings of digits.

The mel power of every training recording is computed once, at several speeds. Concatenation, gain, noise and masks are
applied to the mel power: the power of the sum of two uncorrelated sounds is about the sum of their powers.
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

from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio.log_mel import Floats, log_mel, logarithm, mel_power, normalise
from hearth_build.data.datasets import Source, unique
from hearth_build.data.sound_augmentation import change_speed, mask, noise_frames, white_noise
from hearth_build.recipe import Batch, Example

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ALPHABET = " abcdefghijklmnopqrstuvwxyz'"
BLANK = len(ALPHABET)
FEATURES = AudioPreprocessing(
    rate=8000, window=200, hop=80, fft=256, mels=40, low=60.0, high=3900.0, normalise="utterance"
)
DEV_TAKES = range(5, 10)
"""Numbers of the recordings, of every digit and speaker, that the model is evaluated on."""
VALIDATION_TAKES = range(10, 12)
"""Numbers of the recordings that select the best epoch."""
MAX_DIGITS = 7
"""Largest number of digits in a string."""
SPEEDS = (0.84, 0.9, 0.96, 1.0, 1.05, 1.12, 1.19)
NOISE_FRAMES = 3000
MARGIN = 0.25
"""Seconds of silence that are added before and after a recording. Without them, a third of the tightly cut digits are
recognised wrongly."""
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
    """Write takes.npz and powers.npz.

    takes.npz has the `digits`, `speakers`, `numbers` and `ends` of each recording in `samples`, int16. powers.npz has
    the log mel power, float16 (frames, mels), of each training recording at each speed, concatenated (`lengths`), and
    of white and low-frequency noise with a standard deviation of one.
    """
    takes: list[tuple[str, str, int, bytes]] = []
    with tarfile.open(SOURCE.file()) as archive:
        for member in archive:
            wav_file = archive.extractfile(member) if member.name.endswith(".wav") else None
            if wav_file is not None:
                digit, speaker, number = Path(member.name).stem.split("_")
                with wave.open(io.BytesIO(wav_file.read())) as file:
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
        logarithm(mel_power(change_speed(take.sound, speed), FEATURES))
        for take in training_takes(work)
        for speed in SPEEDS
    ]
    random = np.random.default_rng(0)
    white = white_noise(random, NOISE_FRAMES * FEATURES.hop, 1.0)
    low = np.convolve(white, np.ones(8, np.float32) / np.sqrt(8).astype(np.float32), "same")
    np.savez(
        work / "powers.npz",
        lengths=np.array([len(power) for power in powers]),
        frames=np.concatenate(powers).astype(np.float16),
        white=logarithm(mel_power(white, FEATURES)),
        low=logarithm(mel_power(low, FEATURES)),
    )


def read(work: Path) -> list[Take]:
    arrays = np.load(work / "takes.npz")
    sounds = np.split(arrays["samples"].astype(np.float32) / 32768, arrays["ends"][:-1])
    columns = zip(arrays["digits"], arrays["speakers"], arrays["numbers"], sounds, strict=True)
    return [Take(int(digit), str(speaker), int(number), sound) for digit, speaker, number, sound in columns]


def training_takes(work: Path) -> list[Take]:
    return [take for take in read(work) if take.number not in (*DEV_TAKES, *VALIDATION_TAKES)]


def takes_of(work: Path, numbers: range) -> list[Take]:
    return [take for take in read(work) if take.number in numbers]


def make_strings(
    takes: Sequence[Take], count: int, seed: int, pauses: tuple[float, float] = (0.05, 0.4)
) -> list[tuple[Floats, str]]:
    """Return `count` strings of two to MAX_DIGITS digits, each of one speaker, with their texts.

    After each digit comes faint noise; `pauses` are the shortest and longest in seconds.
    """
    random = np.random.default_rng(seed)
    speakers = sorted({take.speaker for take in takes})
    strings = []
    for _ in range(count):
        speaker = speakers[random.integers(len(speakers))]
        candidates = [take for take in takes if take.speaker == speaker]
        length = random.integers(2, MAX_DIGITS + 1)
        chosen = [candidates[random.integers(len(candidates))] for _ in range(length)]
        sounds: list[Floats] = []
        for take in chosen:
            sounds += [take.sound, white_noise(random, int(random.uniform(*pauses) * FEATURES.rate), 3e-4)]
        strings.append((np.concatenate(sounds), " ".join(WORDS[take.digit] for take in chosen)))
    return strings


def wav(sound: Floats) -> bytes:
    """Encode a mono 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(FEATURES.rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def dev_digits(work: Path) -> list[Example]:
    return [Example(wav(take.sound), WORDS[take.digit]) for take in takes_of(work, DEV_TAKES)]


def dev_strings(pauses: tuple[float, float]) -> Callable[[Path], list[Example]]:
    def read_strings(work: Path) -> list[Example]:
        strings = make_strings(takes_of(work, DEV_TAKES), 200, 7, pauses)
        return [Example(wav(sound), text) for sound, text in strings]

    return read_strings


def calibration(work: Path) -> list[Batch]:
    """Return the features of strings of training recordings, for measuring activation ranges."""
    strings = make_strings(training_takes(work), 100, seed=3)
    return [{"features": torch.from_numpy(log_mel(sound, FEATURES))[None]} for sound, _ in strings]


def synthetic() -> list[bytes]:
    """Return synthetic sounds: a frequency sweep, a buzz that swells, and silence."""
    seconds = np.arange(int(1.2 * FEATURES.rate)) / FEATURES.rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 700 * seconds) * seconds)
    buzz = 0.2 * np.sign(np.sin(2 * np.pi * 120 * seconds)) * np.sin(np.pi * seconds / 1.2) ** 2
    return [wav(sound.astype(np.float32)) for sound in (sweep, buzz, np.zeros(4000))]


@dataclass
class Strings:
    """Training batches: random strings of digits, with the same number of digits in all strings of a batch.

    Each index is the first recording of a string; the others are random. Strings become longer during training, because
    CTC learns its alignment on short ones first.
    """

    digits: NDArray[np.int64]
    speakers: NDArray[np.str_]
    powers: list[NDArray[np.float16]]
    """Log mel power of each recording at each speed, as `prepare` writes it."""
    noises: tuple[Floats, Floats]
    """Mel power of white and of low-frequency noise."""

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        order = np.random.default_rng((seed, epoch)).permutation(len(self.digits))
        count = len(order) // size
        return [batch.tolist() for batch in np.array_split(order[: count * size], count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        random = np.random.default_rng(int(torch.randint(2**62, ())))
        max_digits = 1 + min(int(progress * 16), MAX_DIGITS - 1)
        weights = 1 / np.sqrt(np.arange(1, max_digits + 1))
        digits = 1 + int(random.choice(max_digits, p=weights / weights.sum()))
        strings = [self.make_string(random, index, digits) for index in indices]
        longest = max(len(power) for power, _ in strings) + int(random.uniform(0, 0.6) * FEATURES.rate / FEATURES.hop)
        features = [mask(random, normalise(logarithm(self.add_noise(random, power, longest)))) for power, _ in strings]
        texts = [[ALPHABET.index(letter) for letter in text] for _, text in strings]
        targets = torch.full((len(texts), max(1, *map(len, texts))), BLANK)
        for row, text in enumerate(texts):
            targets[row, : len(text)] = torch.tensor(text)
        lengths = torch.tensor([len(text) for text in texts])
        return {"features": torch.from_numpy(np.stack(features)), "targets": targets, "lengths": lengths}

    def make_string(self, random: np.random.Generator, first: int, digits: int) -> tuple[Floats, str]:
        """Return the mel power of a string, (frames, mels), and its text. One string in fifty is silence."""
        if random.random() < 0.02:
            return np.zeros((int(random.integers(10, 30)) * digits, FEATURES.mels), np.float32), ""
        is_mixed = random.random() < 0.3  # several speakers
        chosen = [first]
        while len(chosen) < digits:
            other = int(random.integers(len(self.digits)))
            if is_mixed or self.speakers[other] == self.speakers[first]:
                chosen.append(other)
        speed = int(random.integers(len(SPEEDS)))
        pace = random.uniform(0.88, 1.12)
        powers: list[Floats] = []
        for index in chosen:
            if powers and random.random() < 0.85:
                pause = random.exponential(12) if random.random() < 0.9 else random.uniform(0, 80)
                powers.append(np.zeros((int(pause), FEATURES.mels), np.float32))
            power = np.exp(self.powers[index * len(SPEEDS) + speed].astype(np.float32))
            frames = np.arange(0, len(power) - 0.5, pace).astype(int)
            powers.append(power[frames] * np.float32(random.uniform(0.4, 2.0)))
        return np.concatenate(powers), " ".join(WORDS[self.digits[index]] for index in chosen)

    def add_noise(self, random: np.random.Generator, power: Floats, length: int) -> Floats:
        """Return `length` frames with the power at a random position, over noise and with a random gain."""
        padded = np.zeros((length, FEATURES.mels), np.float32)
        start = int(random.integers(length - len(power) + 1))
        padded[start : start + len(power)] = power
        white, low = self.noises
        if random.random() < 0.8:  # background noise, else digital silence
            padded += noise_frames(random, white, length) * np.float32(10 ** random.uniform(-10, -5.5))
        if random.random() < 0.4:
            noise = noise_frames(random, white if random.random() < 0.5 else low, length)
            padded += noise * np.float32(power.mean() / noise.mean() * 10 ** -random.uniform(0.8, 4))
        return padded * np.float32(10 ** random.uniform(-1.6, 1.2))


def training(work: Path) -> Strings:
    takes = training_takes(work)
    arrays = np.load(work / "powers.npz")
    return Strings(
        np.array([take.digit for take in takes]),
        np.array([take.speaker for take in takes]),
        np.split(arrays["frames"], np.cumsum(arrays["lengths"])[:-1]),
        (np.exp(arrays["white"]), np.exp(arrays["low"])),
    )
