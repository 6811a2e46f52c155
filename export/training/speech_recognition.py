"""automatic-speech-recognition from recordings with transcripts: a network of letters (CTC), trained from scratch."""

from __future__ import annotations

import hashlib
import io
import wave
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from hearth.models.heads import Ctc
from hearth.models.manifest import Limits
from hearth.models.preprocessing import AudioPreprocessing
from hearth.ops.audio import ngram_lm
from hearth.ops.audio.ctc import beam_search, greedy, to_words
from hearth.ops.audio.log_mel import Floats, log_mel
from hearth_build.data import sounds, transcripts
from hearth_build.data.datasets import DataError
from hearth_build.data.files import content
from hearth_build.data.ngram_lm import arpa
from hearth_build.data.parallel_texts import CODES
from hearth_build.data.report import LISTED, MIN_EXAMPLES, DataReport, describe_split, language_of
from hearth_build.data.sounds import AugmentedSpeech, Sounds
from hearth_build.data.split import exact_duplicates, split
from hearth_build.evaluations.speech_recognition import error_rates, errors, normalize
from hearth_build.networks.deepspeech import STRIDE, DeepSpeech, ctc_loss
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Batch, Example, Gate, OneCycle, Recipe, RecipeError, Stage, StaticInt8
from hearth_build.training import fine_tuning
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import DOUBTFUL, cell, data_section
from hearth_build.training.fine_tuning import Preset, Training

NARROW = AudioPreprocessing(rate=8000, window=200, hop=80, fft=256, mels=40, low=60.0, high=3900.0)
WIDE = AudioPreprocessing(rate=16000, window=400, hop=160, fft=512, mels=64, low=60.0, high=7600.0)
"""Features of telephone speech and of others."""
MARGIN = 0.25
"""Seconds of silence before and after a recording: tightly cut words are recognised badly without."""
PRESET = Preset(
    epochs=60, learning_rate=3e-3, batch_size=3600, schedule=OneCycle(warmup=0.15), weight_decay=0.01, average=0.995
)
"""The batch size is in frames."""
SIZES = {0.0: {"channels": 96, "hidden": 64}, 5.0: {"channels": 192, "hidden": 160, "dilations": (1, 1, 2, 2)}}
"""Sizes of the network from these hours of training recordings on."""
ORDER = 6
BEAMS = 8
LANGUAGE_MODELS = ((0.3, 0.3), (0.6, 0.5), (1.0, 0.8))
"""Weights and bonuses of the language model of letters that are tried."""
MEASURED = 400
"""Validation recordings for which ways of decoding are compared."""
RARE = 2
"""Characters that occur less often are not learnt."""
SILENT = 1e-3


@dataclass(frozen=True)
class SpeechData(Data):
    preprocessing: AudioPreprocessing = WIDE

    @property
    def symbols(self) -> tuple[str, ...]:
        """The characters, and the blank at the end."""
        return (*self.labels, "")


def read(session: Session) -> SpeechData:
    """Read, decode, check and split the recordings. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    count = len(examples)
    preprocessing = features_of(examples)
    audible, keys, seconds = survey([*examples, *test], preprocessing.rate, report)
    examples, test = ([item for item in part if id(item) in audible] for part in (examples, test))
    if len(examples) < MIN_EXAMPLES:
        raise DataError(f"{len(examples)} of the {count} recordings of {plan.data} can be used; see the notes above.")
    lengths = np.array(seconds)
    low, high = np.percentile(lengths, [5, 95])
    texts = [str(example.expected) for example in examples]
    report.facts.append(
        f"{len(examples) + len(test):,} recordings, {lengths.sum() / 3600:.2f} hours; 90 % have {low:.1f} to "
        f"{high:.1f} seconds; {len(set(texts)):,} different texts; heard at {preprocessing.rate:,} Hz"
    )
    duplicates = exact_duplicates(keys)
    clusters = duplicates.clusters
    own_test = (test, clusters[len(examples) :]) if test else None
    parts = split(examples, clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    characters = Counter(character for example in parts.train for character in example.expected)
    labels = tuple(sorted(character for character, number in characters.items() if number >= RARE))
    if rare := sorted(set(characters) - set(labels)):
        report.warnings.append(f"characters that occur once are not learnt: {' '.join(rare[:20])}")
    report.facts.append(f"{len(labels)} characters: {''.join(labels)[:60]}")
    if digits := [character for character in labels if character.isdigit()]:
        report.warnings.append(
            f"texts have digits ({''.join(digits)}): write numbers as they are spoken, such as twelve for 12"
        )
    return SpeechData(parts, labels, report, language_of(texts[:2000]), preprocessing=preprocessing)


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    """Examples with their normalized texts."""
    examples = transcripts.read(Path(path), columns)
    kept = [replace(example, expected=normalize(str(example.expected))) for example in examples]
    empty = [example.name for example in kept if not example.expected]
    if empty:
        names = ", ".join(empty[:LISTED]) + (", …" if len(empty) > LISTED else "")
        report.warnings.append(f"{len(empty):,} recordings without a text are left out: {names}")
    kept = [example for example in kept if example.expected]
    if len(kept) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(kept)} recordings with texts. At least {MIN_EXAMPLES} are needed to train and to "
            "measure; some hundreds for a few words, and hundreds of hours for free speech."
        )
    if len({example.expected for example in kept}) < 2:
        raise DataError(f"All recordings of {path} have the text {kept[0].expected!r}: there is nothing to learn.")
    return kept


def features_of(examples: Sequence[Example]) -> AudioPreprocessing:
    """The features for the sampling rate of the recordings; those in containers count as wide."""
    rates = []
    for example in examples[:: max(1, len(examples) // 50)]:
        try:
            rates.append(soundfile.info(io.BytesIO(content(example.inputs))).samplerate)
        except (soundfile.LibsndfileError, OSError):
            continue
    return NARROW if rates and np.median(rates) < 11_000 else WIDE


def survey(examples: Sequence[Example], rate: int, report: DataReport) -> tuple[set[int], list[str], list[float]]:
    """Decode every recording once: the ids of usable examples, with a key of the content and the seconds of each."""
    audible: set[int] = set()
    keys, seconds, broken, silent, crowded = [], [], [], [], []
    for example in examples:
        try:
            samples = sounds.read_samples(example, rate)
        except sounds.UnreadableSound as error:
            broken.append(f"{example.name} ({error})")
            continue
        if np.abs(samples).max(initial=0) < SILENT:
            silent.append(example.name)
            continue
        if needed_frames(example.expected) > len(samples) / rate * 100 / STRIDE:
            crowded.append(example.name)
            continue
        audible.add(id(example))
        keys.append(hashlib.sha256(samples.tobytes()).hexdigest())
        seconds.append(len(samples) / rate)
    for names, reason in (
        (broken, "cannot be read"),
        (silent, "are silent"),
        (crowded, "are too short for their text"),
    ):
        if names:
            listed = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
            report.warnings.append(f"{len(names):,} recordings {reason} and are left out: {listed}")
    if not audible:
        raise DataError(f"None of the {len(examples)} recordings can be used: {'; '.join(report.warnings)}.")
    return audible, keys, seconds


def needed_frames(text: str) -> int:
    """The shortest output of the network that can spell a text: repeated letters need a blank between them."""
    return len(text) + sum(first == second for first, second in pairwise(text))


def candidates(session: Session, data: SpeechData) -> list[Candidate]:
    if session.plan.base:
        raise RecipeError("automatic-speech-recognition is trained from scratch; leave --from out.")
    preprocessing, symbols = data.preprocessing, data.symbols
    numbers = {label: number for number, label in enumerate(data.labels)}
    recordings = Sounds.decode(data.split.train, session.work / "sounds.i16", preprocessing.rate)
    targets = [[numbers[letter] for letter in example.expected if letter in numbers] for example in data.split.train]
    blank = len(data.labels)
    batches = AugmentedSpeech(recordings, targets, preprocessing, blank)
    validation = data.split.validation[:: -(-len(data.split.validation) // MEASURED)]
    features = [
        features_with_margin(sounds.read_samples(item, preprocessing.rate), preprocessing) for item in validation
    ]
    references = [example.expected for example in validation]
    hours = sum(recordings.seconds(index) for index in range(len(recordings))) / 3600
    size: dict[str, Any] = max((start, size) for start, size in SIZES.items() if hours >= start)[1]

    def network(work: Path) -> nn.Module:
        return DeepSpeech(preprocessing.mels, len(symbols), **size)

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        return ctc_loss(network(batch["features"]), batch["targets"], batch["lengths"], blank)

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        spans = [greedy(row, blank) for row in log_probabilities(network, features)]
        rates = error_rates(references, [text_of(part, symbols) for part in spans])
        return {"accuracy of characters": 1 - rates["CER"], "WER": rates["WER"]}

    frames = (hours * 3600 + len(recordings) / 2) * preprocessing.rate / preprocessing.hop
    preset = replace(PRESET, batch_size=int(min(PRESET.batch_size, max(400, frames / 16))))  # few need more steps
    stage = fine_tuning.fit(
        session, Training(preset, network=network, batches=batches, loss=loss, score=score, name="training")
    )
    rows = log_probabilities(fine_tuning.trained(session, stage), features)
    frequent = Counter(example.expected for example in data.split.train).most_common(1)[0][0]
    results = [Candidate("always the most frequent text", error_rates(references, [frequent] * len(references))["WER"])]
    model = language_model(data)
    finished = partial(recipe_of, session, data, recordings, stage, model)
    ways: list[tuple[str, dict[str, Any]]] = [("the likeliest letters", {})]
    for weight, bonus in LANGUAGE_MODELS:
        fields = {"beams": BEAMS, "language_weight": weight, "letter_bonus": bonus, "language_model": "letters.arpa"}
        ways.append((f"letters of the training texts, weight {weight:g}", fields))
    for name, fields in ways:
        texts = [decode(row, data, model, fields) for row in rows]
        results.append(Candidate(name, error_rates(references, texts)["WER"], partial(finished, fields)))
    return results


def features_with_margin(samples: Floats, preprocessing: AudioPreprocessing) -> Floats:
    return log_mel(np.pad(samples, int(MARGIN * preprocessing.rate)), preprocessing)


@torch.no_grad()
def log_probabilities(network: nn.Module, features: Sequence[Floats]) -> list[Floats]:
    """Log-probabilities (frames, symbols) of each recording."""
    network.eval()
    return [network(torch.from_numpy(row)[None])[0].numpy() for row in features]


def decode(row: Floats, data: SpeechData, model: bytes, fields: dict[str, Any]) -> str:
    blank = len(data.labels)
    if not fields:
        return text_of(greedy(row, blank), data.symbols)
    scorer = ngram_lm.read(model, data.symbols, fields["language_weight"], fields["letter_bonus"])
    return text_of(beam_search(row, blank, fields["beams"], scorer), data.symbols)


def text_of(spans: Any, symbols: Sequence[str]) -> str:
    return " ".join(word.text for word in to_words(spans, symbols))


def language_model(data: SpeechData) -> bytes:
    """A model of the letters of the training texts, in ARPA format."""
    known = set(data.labels)
    return arpa(("".join(letter for letter in item.expected if letter in known) for item in data.split.train), ORDER)


def recipe_of(
    session: Session, data: SpeechData, recordings: Sounds, stage: Stage, model: bytes, decoding: dict[str, Any]
) -> Recipe:
    preprocessing = data.preprocessing

    def calibration(work: Path) -> Sequence[Batch]:
        chosen = range(0, len(recordings), max(1, len(recordings) // 100))
        rows = [features_with_margin(recordings[index], preprocessing) for index in chosen]
        return [{"features": torch.from_numpy(row)[None]} for row in rows]

    loss = max(0.005, 2.5 / sum(len(example.expected.split()) for example in data.split.validation))
    return session.recipe(
        data,
        labels=data.symbols,
        description="Transcribes recordings letter by letter: a small Deep Speech 2, trained from scratch on "
        f"{sum(recordings.seconds(index) for index in range(len(recordings))) / 3600:.1f} hours.",
        stages=(stage,),
        graphs={
            "main": traced(
                lambda: {"features": torch.randn(2, 100, preprocessing.mels)},
                {"features": {0: "batch", 1: "frames"}, "logits": {0: "batch", 1: "steps"}},
            )
        },
        report=sections(data),
        golden=lambda: synthetic_sounds(preprocessing.rate),
        preprocessing=preprocessing,
        head=Ctc(
            blank=len(data.labels),
            language=CODES.get(data.language, ""),
            stride=STRIDE,
            chunk_seconds=15.0,
            margin_seconds=MARGIN,
            **decoding,
        ),
        resources={"letters.arpa": lambda work: model} if decoding else {},
        quantization=session.quantization(StaticInt8(calibration, keep=("classifier",))),
        gate=Gate(metric=1e6, quantization_loss=loss, bytes=2**31, difference=0.8),
        limits=Limits(batch=1, seconds=600),
        limitations=(
            "It writes lower-case letters without punctuation.",
            "Speakers, words and rooms that are not in the training recordings are understood less well.",
            *(("A model of the training texts' letters prefers their words to others.",) if decoding else ()),
        ),
    )


def sections(data: SpeechData) -> Callable[[Path, Sequence[Example], Sequence[str]], Sequence[str]]:
    """The recordings with most errors, by name, and the report on the data."""

    def report(work: Path, examples: Sequence[Example], outputs: Sequence[str]) -> Sequence[str]:
        wrong = []
        for example, output in zip(examples, outputs, strict=True):
            _, _, characters, count, _ = errors(str(example.expected), output)
            if count:
                wrong.append((count / max(characters, 1), example.name, str(example.expected), output))
        wrong.sort(key=lambda row: (-row[0], row[1]))
        lines = ["recording\tcharacter errors\ttext\twritten"]
        lines += [f"{name}\t{rate:.2f}\t{text}\t{output}" for rate, name, text, output in wrong]
        (work / DOUBTFUL).write_text("\n".join(lines) + "\n", encoding="utf-8")
        names = ", ".join(cell(row[1], 60) for row in wrong[:10]) or "none"
        return [
            "## Errors on the test data",
            f"{len(wrong):,} of {len(examples):,} recordings have errors; most have: {names} (all are in {DOUBTFUL} of "
            "the build).",
            *data_section(data),
        ]

    return report


def synthetic_sounds(rate: int) -> list[bytes]:
    """WAV files that are not from any data set: a frequency sweep, a buzz that swells, and silence."""
    seconds = np.arange(int(1.2 * rate)) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 700 * seconds) * seconds)
    buzz = 0.2 * np.sign(np.sin(2 * np.pi * 120 * seconds)) * np.sin(np.pi * seconds / 1.2) ** 2
    return [wav(sound.astype(np.float32), rate) for sound in (sweep, buzz, np.zeros(rate // 2))]


def wav(sound: Floats, rate: int) -> bytes:
    """Encode a mono 16-bit WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    """Raises RecipeError if nothing was learnt."""
    if chosen.score >= min(results[0].score, 0.95):
        raise RecipeError(
            f"The network has learnt nothing: {chosen.score:.0%} of the words of the validation recordings are wrong. "
            "Give it more --minutes or more recordings, and look whether the texts belong to the recordings."
        )


TRAINER = Trainer(read, candidates, require_learning=require_learning)
