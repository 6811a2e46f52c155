"""What a data set contains and what is doubtful about it, in sentences for the terminal and the model card."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hearth_build.data.datasets import DataError, text_key
from hearth_build.data.files import PARTS
from hearth_build.data.split import Duplicates, Split, counts
from hearth_build.recipe import Example

MIN_EXAMPLES = 20
MIN_PER_LABEL = 3
MAX_LABELS = 1000
LISTED = 5
"""Doubtful items that are named."""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


STOP_WORDS = {
    "English": words("the and is was of to in it that with for this not but are on as be"),
    "German": words("der die das und ist nicht mit ein eine für auf den von zu sich auch war"),
    "French": words("le la les et est une des pas pour que dans un du ce sur avec mais"),
    "Spanish": words("el la los y es una de que no en por con para un las del pero"),
    "Italian": words("il la di che e non un una per è con del sono le gli ma molto"),
    "Portuguese": words("o a de que e não um uma para com os do em é no mas"),
    "Dutch": words("de het een en is niet van met voor op dat die in zijn maar"),
}


@dataclass
class DataReport:
    facts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [*self.facts, *(f"Note: {warning}" for warning in self.warnings)]


def describe_split(report: DataReport, split: Split, duplicates: Duplicates) -> None:
    sizes = f"{len(split.train):,} to train, {len(split.validation):,} to validate, {len(split.test):,} to test"
    by_time = any(example.time for example in split.train)
    report.facts.append(f"{sizes}; split by {'time' if by_time else 'content'}")
    if duplicates.exact or duplicates.near:
        report.facts.append(
            f"{duplicates.exact:,} duplicates and {duplicates.near:,} near-duplicates, kept on one side of the split"
        )
    report.facts += [note[0].upper() + note[1:] for note in split.notes]


def describe_parts(report: DataReport, path: str) -> None:
    """Says so if a folder has parts, which are read together."""
    folder = Path(path).parent if Path(path).suffix.lower() in (".yaml", ".yml") else Path(path)
    places = sorted(place for pattern in ("*", "images/*") for place in folder.glob(pattern) if place.is_dir())
    parts = [place.name for place in places if place.name.lower() in PARTS]
    if len(parts) > 1:
        report.facts.append(
            f"The folders {', '.join(parts)} are read together and split anew. To keep a part for the test, give it as "
            "--test, and another one as --data"
        )


def describe_measured(report: DataReport, split: Split, measured: Split) -> None:
    """Says so if fewer examples are measured than were held out, for tasks that take long for each."""
    counts = [(len(getattr(measured, name)), len(getattr(split, name))) for name in ("validation", "test")]
    if any(count < held for count, held in counts):
        report.facts.append(
            f"To save time, {counts[0][0]:,} of the validation examples and {counts[1][0]:,} of the test are measured"
        )


def describe_labels(report: DataReport, examples: Sequence[Example]) -> None:
    """The classes, spelling variants, and inputs that have several different labels."""
    by_label = counts(examples)
    listed = [f"{label} {count:,}" for label, count in by_label.most_common(12)]
    more = f" and {len(by_label) - 12} more" if len(by_label) > 12 else ""
    report.facts.append(f"{len(examples):,} examples with {len(by_label)} labels: {', '.join(listed)}{more}")
    if any(isinstance(example.expected, tuple) for example in examples):
        none = sum(example.expected == () for example in examples)
        report.facts.append(f"Examples may have several labels; {none:,} have none")
    largest, smallest = max(by_label.values()), min(by_label.values())
    if largest > 10 * smallest:
        report.warnings.append(
            f"labels are unbalanced: the most frequent has {largest:,} examples, the rarest {smallest}"
        )
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in by_label:
        spellings[text_key(label)].append(label)
    for variants in spellings.values():
        if len(variants) > 1:
            names = " and ".join(repr(name) for name in sorted(variants))
            report.warnings.append(f"the labels {names} differ only in spelling; they are learnt as different labels")


def describe_conflicts(report: DataReport, examples: Sequence[Example], clusters: Sequence[int]) -> None:
    labels: dict[int, set[str]] = defaultdict(set)
    for example, cluster in zip(examples, clusters, strict=True):
        labels[cluster].add(str(example.expected))
    conflicts = [cluster for cluster, names in labels.items() if len(names) > 1]
    if conflicts:
        first = next(example for example, cluster in zip(examples, clusters, strict=True) if cluster == conflicts[0])
        names = " and ".join(sorted(labels[conflicts[0]]))
        report.warnings.append(
            f"{len(conflicts):,} inputs occur with different labels, for example {first.name} ({names})"
        )


def describe_texts(report: DataReport, examples: Sequence[Example]) -> None:
    """Language and length of the texts."""
    lengths = np.array([len(example.inputs) for example in examples])
    middle, long = np.percentile(lengths, [50, 95])
    language = language_of(example.inputs for example in examples[:2000])
    report.facts.append(f"Texts: {language}; half of them have up to {middle:.0f} characters, 95 % up to {long:.0f}")


def describe_beginnings(report: DataReport, examples: Sequence[Example]) -> None:
    """Words at the beginning of texts that give a label away."""
    beginnings: dict[str, Counter[str]] = defaultdict(Counter)
    for example in examples:
        words = example.inputs.split(maxsplit=1)
        if words and isinstance(example.expected, str):
            beginnings[words[0]][example.expected] += 1
    totals = counts(examples)
    for word, by_label in beginnings.items():
        (label, count), seen = by_label.most_common(1)[0], sum(by_label.values())
        if count >= 10 and count > 0.98 * seen and count > 0.3 * totals[label] and totals[label] < 0.9 * len(examples):
            report.warnings.append(
                f"{count:,} of {totals[label]:,} texts of {label!r} begin with {word!r}, and almost no others do: if "
                "real texts do not, the model learns this beginning instead of the texts"
            )


def language_of(texts: Iterable[str]) -> str:
    """A guess by scripts and stop words: `English`, `Chinese`, or `unknown language`."""
    joined = " ".join(texts)[:200_000]
    letters = [character for character in joined if character.isalpha()]
    if not letters:
        return "no letters"
    scripts = Counter(script_of(character) for character in letters)
    script, _ = scripts.most_common(1)[0]
    if scripts["Japanese"] > 0.1 * len(letters):
        return "Japanese"
    if script != "Latin":
        return script
    words = Counter(re.findall(r"[^\W\d_]+", joined.lower()))
    shares = {language: sum(words[word] for word in stop) for language, stop in STOP_WORDS.items()}
    language = max(shares, key=lambda name: shares[name])
    return language if shares[language] > 0.08 * words.total() else "unknown language"


def script_of(character: str) -> str:
    code = ord(character)
    if code < 0x250:
        return "Latin"
    ranges = (
        (0x370, 0x3FF, "Greek"), (0x400, 0x52F, "Cyrillic"), (0x590, 0x5FF, "Hebrew"), (0x600, 0x6FF, "Arabic"),
        (0x900, 0x97F, "Devanagari"), (0xE00, 0xE7F, "Thai"), (0x3040, 0x30FF, "Japanese"),
        (0x3400, 0x9FFF, "Chinese"), (0xAC00, 0xD7AF, "Korean"),
    )  # fmt: skip
    return next((name for first, last, name in ranges if first <= code <= last), "other script")


def usable_labels(examples: Sequence[Example], report: DataReport, path: object, unit: str) -> list[Example]:
    """The examples that have inputs and labels with enough examples to learn from.

    Raises DataError, which says what to do, for too few examples or labels, and for a column that holds no labels.
    """
    empty = [example for example in examples if not example.inputs or example.expected == ""]
    if empty:
        names = ", ".join(example.name for example in empty[:LISTED]) + (", …" if len(empty) > LISTED else "")
        report.warnings.append(f"{len(empty):,} {unit} without content or label are left out: {names}")
    kept = [example for example in examples if example.inputs and example.expected != ""]
    if len(kept) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(kept)} {unit} with labels. At least {MIN_EXAMPLES} are needed to train and to measure; "
            "some hundreds per label give good models."
        )
    by_label = counts(kept)
    if len(by_label) > MAX_LABELS or len(by_label) > len(kept) / 2:
        some = ", ".join(repr(label[:30]) for label in list(by_label)[:3])
        raise DataError(
            f"The labels of {path} have {len(by_label):,} different values in {len(kept):,} {unit} ({some}, …). That "
            "is no column of labels: name the right one with --column label=NAME. For numbers use tabular-regression, "
            "for texts that are to be written text-generation or translation."
        )
    rare = {label for label, count in by_label.items() if count < MIN_PER_LABEL}
    if rare and len(by_label) - len(rare) >= 2:
        names = ", ".join(sorted(rare)[:10])
        report.warnings.append(f"labels with fewer than {MIN_PER_LABEL} {unit} are left out: {names}")
        kept = [example for example in kept if not rare & set(as_tuple(example.expected))]
        by_label = counts(kept)
    if len(by_label) < 2:
        raise DataError(
            f"All {len(kept)} {unit} of {path} have the label {next(iter(by_label))!r}. A classifier needs at least "
            "two labels: add examples of another one."
        )
    return kept


def as_tuple(expected: object) -> tuple[str, ...]:
    return expected if isinstance(expected, tuple) else (str(expected),)
