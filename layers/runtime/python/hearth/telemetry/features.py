"""What is counted of inputs and answers to watch a model: features with few fixed classes, never a payload.

Classes are fixed, so counts of processes, hours and versions can be added and compared. Each input counts once for
each of its features, so that inputs are independent samples.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from msgspec import Struct

LABELS = 256
"""Classes of the feature `label`: labels with the same number modulo this share one."""


class Feature(Struct, frozen=True):
    """Either named classes, or classes between edges: class 0 has values up to edges[0], the last one the others."""

    title: str
    edges: tuple[float, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def is_ordered(self) -> bool:
        return bool(self.edges)

    @property
    def classes(self) -> int:
        return len(self.edges) + 1 if self.edges else len(self.names) or LABELS


def _octaves(first: int, last: int) -> tuple[float, ...]:
    """Powers of two and the values half between them, from 2 ** first to 2 ** last."""
    return (*(factor * 2.0**power for power in range(first, last) for factor in (1, 1.5)), 2.0**last)


SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75)
SCRIPTS = (
    ("Greek", 0x370, 0x3FF),
    ("Cyrillic", 0x400, 0x52F),
    ("Hebrew", 0x590, 0x5FF),
    ("Arabic", 0x600, 0x77F),
    ("Devanagari", 0x900, 0x97F),
    ("Thai", 0xE00, 0xE7F),
    ("Kana", 0x3040, 0x30FF),
    ("Han", 0x3400, 0x9FFF),
    ("Hangul", 0xAC00, 0xD7AF),
)
"""Unicode blocks of scripts other than Latin: name, first and last character."""
SCRIPT_NAMES = ("Latin", *(name for name, _, _ in SCRIPTS), "other")
FEATURES: dict[str, Feature] = {
    "label": Feature("best label"),
    "score": Feature("score of the best label", tuple(number / 20 for number in range(1, 20))),
    "tokens": Feature("tokens of a text", _octaves(1, 13)),
    "characters_per_token": Feature("characters per token", tuple(number / 4 for number in range(2, 33))),
    "script": Feature("script of a text", names=SCRIPT_NAMES),
    "unknown": Feature("share of unknown tokens", SHARES),
    "unfamiliar": Feature("share of tokens that the evaluation has not", SHARES),
    "distance": Feature("distance from the mean vector", tuple(number / 40 for number in range(1, 60))),
    "pixels": Feature("pixels of a picture", _octaves(8, 25)),
    "aspect": Feature("width / height of a picture", (0.33, 0.5, 0.6, 0.7, 0.8, 0.95, 1.05, 1.25, 1.4, 1.6, 2, 3)),
    "brightness": Feature("mean grey value of a picture", tuple(float(value) for value in range(8, 256, 8))),
    "contrast": Feature("deviation of grey values", tuple(float(value) for value in range(4, 120, 4))),
    "boxes": Feature("boxes in a picture", (0.0, 1.0, 2.0, *_octaves(2, 8)[1:])),
    "seconds": Feature("seconds of a recording", _octaves(-2, 12)),
    "output_tokens": Feature("generated tokens", _octaves(1, 13)),
    "correct": Feature("answers that feedback confirms", names=("wrong", "right")),
    "rating": Feature("rating by feedback", names=("1", "2", "3", "4", "5")),
}
"""All features by name. A changed class needs a new name: its counts are not comparable any more."""
FEEDBACK = ("correct", "rating")
"""Features of feedback, which are no inputs."""


EDGES = {name: feature.edges for name, feature in FEATURES.items()}
Observed = dict[tuple[str, int], int]
"""Number of inputs by feature and class."""


def observe(observed: Observed, name: str, value: float) -> None:
    """Count a value of an ordered feature."""
    key = name, bisect_left(EDGES[name], value)
    observed[key] = observed.get(key, 0) + 1


def count(observed: Observed, name: str, index: int) -> None:
    """Count a class of a feature."""
    key = name, index
    observed[key] = observed.get(key, 0) + 1


def script_of(text: str) -> int:
    """The class of the script that most of a text's first letters have."""
    if text.isascii():
        return 0
    counts = [0] * len(SCRIPT_NAMES)
    for character in text[:200]:
        if character.isalpha():
            counts[_script(ord(character))] += 1
    return counts.index(max(counts))


def _script(code: int) -> int:
    if code < 0x250:
        return 0
    for index, (_, first, last) in enumerate(SCRIPTS, 1):
        if first <= code <= last:
            return index
    return len(SCRIPTS) + 1


def class_name(name: str, index: int, labels: Sequence[str] = ()) -> str:
    """A class in words."""
    feature = FEATURES[name]
    if feature.names:
        return feature.names[index]
    if not feature.edges:
        return labels[index] if index < len(labels) else f"label {index}"
    if index == len(feature.edges):
        return f"> {feature.edges[-1]:g}"
    return f"≤ {feature.edges[index]:g}"
