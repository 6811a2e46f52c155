"""Splits by content: the same data are always split alike, and what is nearly the same stays on one side."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hearth_build.data.datasets import DataError, text_key
from hearth_build.data.tables import is_number
from hearth_build.recipe import Example

PARTS = ("train", "validation", "test")
LARGEST_PART = 2000
"""Largest number of examples that are held out for validation, and for the test."""
BANDS, ROWS = 8, 4
"""MinHash: texts that agree in all rows of a band are compared."""
SIMILAR = 0.8
"""Jaccard similarity of the shingles of near-duplicates."""
TEXTS = {"query", "texts", "question", "context", "messages"}
"""Keys of inputs that consist of texts alone."""
ISO_DATE = re.compile(r"\d{4}([-/.]\d\d([-/.]\d\d)?)?([T ,].*)?")
"""Times whose order is that of their texts."""
DATE = re.compile(r"(\d{1,2})([./-])(\d{1,2})([./-])(\d{4}|\d\d)(\b.*)")
"""A day and a month, in one of two orders, a year, and the time of the day."""
SHINGLE = 8
"""Characters of a shingle."""


@dataclass(frozen=True)
class Split:
    train: list[Example]
    validation: list[Example]
    test: list[Example]
    notes: list[str] = field(default_factory=list)
    """What was left out or moved, in sentences."""


def split(
    examples: Sequence[Example],
    clusters: Sequence[int],
    seed: int,
    test: tuple[Sequence[Example], Sequence[int]] | None = None,
) -> Split:
    """Split into training, validation and test examples.

    `clusters` numbers what must not be parted: near-duplicates. `test` are examples of the user's own test data with
    their clusters, numbered together with the others. Groups and times of the examples are honoured. Raises DataError.
    """
    notes: list[str] = []
    if test is not None:
        held = set(test[1])
        kept = [(example, cluster) for example, cluster in zip(examples, clusters, strict=True) if cluster not in held]
        if len(kept) < len(examples):
            notes.append(f"{len(examples) - len(kept)} training examples are also in the test data: left out")
        examples, clusters = [example for example, _ in kept], [cluster for _, cluster in kept]
    fraction = 0.2 if len(examples) < 1000 else 0.1
    size = min(int(len(examples) * fraction), LARGEST_PART)
    if any(example.time for example in examples):
        sides, dropped = by_time(examples, clusters, size, has_test=test is None)
        if dropped:
            notes.append(f"{dropped} later examples repeat earlier ones: left out of the held-out parts")
        notes.append("the latest examples are held out")
    else:
        sides = by_content(examples, join_groups(examples, clusters), size, seed, has_test=test is None)
        if any(example.group for example in examples):
            notes.append("groups are not parted")
    parts: dict[str, list[Example]] = {name: [] for name in PARTS}
    for example, side in zip(examples, sides, strict=True):
        if side:
            parts[side].append(example)
    if test is not None:
        parts["test"] = list(test[0])
    for name in PARTS:
        if not parts[name]:
            raise DataError(f"No examples are left for the part {name}: there are too few, or too few groups of them.")
    return Split(**parts, notes=notes)


def by_time(examples: Sequence[Example], clusters: Sequence[int], size: int, has_test: bool) -> tuple[list[str], int]:
    """The side of each example, the latest ones held out, and the number of repetitions that have no side."""
    order = by_age(examples)
    held = 2 * size if has_test else size
    names = ["train"] * (len(order) - held) + ["validation"] * size + ["test"] * (held - size)
    first: dict[int, str] = {}
    sides, dropped = [""] * len(order), 0
    for index, name in zip(order, names, strict=True):
        if first.setdefault(clusters[index], name) == name:
            sides[index] = name
        else:
            dropped += 1
    return sides, dropped


def by_age(examples: Sequence[Example]) -> list[int]:
    """The numbers of the examples, the oldest first. Raises DataError for times whose order is not known."""
    times = [example.time for example in examples]
    if untimed := [example for example in examples if not example.time]:
        raise DataError(
            f"{len(untimed):,} examples have no time, for example {untimed[0].name}. Leave them out of the data, or "
            "train without --column time=…."
        )
    keys: list[Any] = times
    if all(map(is_number, times)):
        keys = [float(time.replace(",", ".")) for time in times]
    elif all(matches := [DATE.fullmatch(time) for time in times]):
        keys = dates_of([matched.groups() for matched in matches if matched])
    elif not all(map(ISO_DATE.fullmatch, times)):
        wrong = next(time for time in times if not ISO_DATE.fullmatch(time))
        raise DataError(
            f"The time {wrong[:40]!r} cannot be put in order. Write times as 2024-12-31 or 2024-12-31 23:59."
        )
    return sorted(range(len(examples)), key=keys.__getitem__)


def dates_of(fields: Sequence[tuple[str, ...]]) -> list[tuple[int, int, int, bool, str]]:
    """Dates as year, month and day, with their times of the day. Raises DataError if days and months look alike."""
    firsts, seconds = ({int(field[number]) for field in fields} for number in (0, 2))
    has_points = all(field[1] == "." for field in fields)
    if max(firsts) <= 12 and max(seconds) <= 12 and not has_points:
        raise DataError(
            f"Is {''.join(fields[0][:5])} a day and a month, or a month and a day? Write times as 2024-12-31."
        )
    days_first = has_points or max(firsts) > 12
    keys = []
    for first, _, second, _, year, clock in fields:
        day, month = (first, second) if days_first else (second, first)
        hours = clock.strip(" ,T").upper()
        hours = hours if re.match(r"\d\d", hours) else f"0{hours}"
        is_afternoon = "PM" in hours
        if hours.startswith("12") and (is_afternoon or "AM" in hours):
            hours = f"00{hours[2:]}"
        keys.append((int(year) + 2000 * (len(year) == 2), int(month), int(day), is_afternoon, hours))
    return keys


def by_content(examples: Sequence[Example], clusters: Sequence[int], size: int, seed: int, has_test: bool) -> list[str]:
    """The side of each example by the hash of its cluster; each class gives its share."""
    members: dict[int, list[int]] = defaultdict(list)
    for index, cluster in enumerate(clusters):
        members[cluster].append(index)
    strata: dict[str, list[tuple[bytes, list[int]]]] = defaultdict(list)
    is_labelled = len({stratum(example.expected) for example in examples}) < len(examples) / 10
    for indices in members.values():
        keys = sorted(content_key(examples[index]) for index in indices)
        digest = hashlib.sha256(f"{seed}:{keys[0]}".encode()).digest()
        name = stratum(examples[indices[0]].expected) if is_labelled else ""
        strata[name].append((digest, indices))
    share = size / max(len(examples), 1)
    sides = ["train"] * len(examples)
    for name in ("validation", "test") if has_test else ("validation",):
        for stratum_clusters in strata.values():
            total = sum(len(indices) for _, indices in stratum_clusters)
            quota = max(round(share * total), 1) if len(stratum_clusters) >= 3 else 0
            taken = 0
            for _, indices in sorted(stratum_clusters):
                if taken >= quota or sides[indices[0]] != "train" or len(indices) > max(quota, 1) * 2:
                    continue
                for index in indices:
                    sides[index] = name
                taken += len(indices)
    return sides


def stratum(expected: Any) -> str:
    """Examples with the same label are a stratum; others are one."""
    return expected if isinstance(expected, str) and len(expected) < 100 else ""


def content_key(example: Example) -> str:
    inputs = example.inputs
    if isinstance(inputs, str):
        return text_key(inputs)
    if isinstance(inputs, list) or (isinstance(inputs, dict) and set(inputs) <= TEXTS):
        return repr(inputs)
    return example.name or repr(inputs)


def join_groups(examples: Sequence[Example], clusters: Sequence[int]) -> list[int]:
    """Clusters joined by the groups of their examples."""
    parent = list(range(max(clusters, default=0) + 1))
    first: dict[str, int] = {}
    for example, cluster in zip(examples, clusters, strict=True):
        if example.group:
            parent[root(parent, cluster)] = root(parent, first.setdefault(example.group, cluster))
    return [root(parent, cluster) for cluster in clusters]


@dataclass(frozen=True)
class Duplicates:
    clusters: list[int]
    """The number of each example's cluster of near-duplicates."""
    exact: int
    """Examples that repeat another one, apart from case and punctuation."""
    near: int
    """Further examples that are nearly the same as another one."""


def duplicate_texts(texts: Sequence[str]) -> Duplicates:
    """Find near-duplicates by MinHash over shingles of characters."""
    keys = [text_key(text) for text in texts]
    numbers: dict[str, int] = {}
    exact = [numbers.setdefault(key, len(numbers)) for key in keys]
    unique = list(numbers)
    shingles = [hash_shingles(key) for key in unique]
    return combine(
        exact,
        len(texts),
        len(unique),
        minhash_bands(shingles),
        lambda a, b: jaccard(shingles[a], shingles[b]) >= SIMILAR,
    )


def hash_shingles(key: str) -> np.ndarray:
    """Hashes of the shingles of a text, uint64, sorted."""
    codes = np.frombuffer(key.encode("utf-32-le"), np.uint32).astype(np.uint64)
    width = min(SHINGLE if key.isascii() else 3, len(codes))
    mixed = np.zeros(max(len(codes) - width + 1, 0), np.uint64)
    for offset in range(width):
        mixed = mixed * np.uint64(1_099_511_628_211) + codes[offset : offset + len(mixed)]
    return np.unique(mixed)


def minhash_bands(shingles: Sequence[np.ndarray]) -> list[list[bytes]]:
    """The bands of each set of shingles."""
    random = np.random.default_rng(0)
    multipliers = random.integers(1, 2**63, (BANDS * ROWS, 1), dtype=np.uint64) | np.uint64(1)
    offsets = random.integers(0, 2**63, (BANDS * ROWS, 1), dtype=np.uint64)
    bands = []
    for values in shingles:
        if not len(values):
            bands.append([])
            continue
        mixed = values[None] * multipliers + offsets
        minima = (mixed ^ (mixed >> np.uint64(29))).min(1)  # (bands * rows)
        bands.append([minima[row : row + ROWS].tobytes() for row in range(0, BANDS * ROWS, ROWS)])
    return bands


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / max(len(first) + len(second) - common, 1)


def duplicate_images(thumbnails: np.ndarray) -> Duplicates:
    """Find near-duplicates of images by thumbnails, uint8 (images, 16, 16, 3): recompressed or resized copies."""
    flat = thumbnails.reshape(len(thumbnails), -1)
    numbers: dict[bytes, int] = {}
    exact = [numbers.setdefault(row.tobytes(), len(numbers)) for row in flat]
    unique = np.stack([np.frombuffer(key, np.uint8) for key in numbers]).astype(np.int16)
    grey = unique.reshape(len(unique), 8, 2, 8, 2, 3).mean((2, 4, 5))
    bits = np.packbits((grey[:, :, 1:] > grey[:, :, :-1]).reshape(len(unique), 56), axis=1)
    bands = [[row[start : start + 2].tobytes() + bytes([start]) for start in (0, 2, 4)] for row in bits]

    def is_same(first: int, second: int) -> bool:
        return bool(np.abs(unique[first] - unique[second]).mean() < 4)

    return combine(exact, len(flat), len(unique), bands, is_same)


def combine(
    exact: Sequence[int],
    count: int,
    unique: int,
    bands: Sequence[Sequence[bytes]],
    is_same: Callable[[int, int], bool],
) -> Duplicates:
    """Join items that share a band with the first item of the band, if they are the same."""
    parent = list(range(unique))
    firsts: dict[tuple[int, bytes], int] = {}
    for item, keys in enumerate(bands):
        for number, key in enumerate(keys):
            first = firsts.setdefault((number, key), item)
            if root(parent, first) != root(parent, item) and is_same(first, item):
                parent[root(parent, item)] = root(parent, first)
    near = sum(parent[item] != item for item in range(unique))
    return Duplicates([root(parent, number) for number in exact], count - unique, near)


def root(parent: list[int], item: int) -> int:
    """The representative of an item's cluster."""
    while parent[item] != item:
        parent[item] = item = parent[parent[item]]
    return item


def exact_duplicates(keys: Sequence[str]) -> Duplicates:
    numbers: dict[str, int] = {}
    clusters = [numbers.setdefault(key, len(numbers)) for key in keys]
    return Duplicates(clusters, len(keys) - len(numbers), 0)


def counts(examples: Sequence[Example]) -> Counter[str]:
    """The number of examples by label; an example with several labels counts for each."""
    counter: Counter[str] = Counter()
    for example in examples:
        counter.update(example.expected if isinstance(example.expected, tuple) else [example.expected])
    return counter
