"""Counts features of inputs and answers, from which `hearth drift` finds out whether they have moved.

A function calls these with what it computes anyway. Nothing but classes of `telemetry.features` is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hearth.telemetry.features import FEATURES, FEEDBACK, LABELS, Observed, count, observe, script_of
from hearth.telemetry.timing import current

if TYPE_CHECKING:
    from PIL.Image import Image

    from hearth.models.manifest import Reference
    from hearth.models.model import Model

Array = np.ndarray[Any, Any]
SAMPLES = (32, 32)
"""Pixels of a picture from which its brightness is taken: few, so that its size does not matter."""
NOT_NOVEL = (*FEEDBACK, "label", "output_tokens")
"""Features that say nothing of an input's novelty."""


def observe_texts(model: Model[Any, Any], texts: Sequence[str], feeds: Mapping[str, Array]) -> None:
    """Count what is seen of texts and their tokens, (texts, longest text) in `feeds`.

    Lists count few tokens faster than NumPy (`python -m tests.kept_fast counts`).
    """
    if (observed := current().observed) is None:
        return
    ids, mask = feeds["input_ids"], feeds["attention_mask"]
    maximum = model.manifest.preprocessing.max_tokens  # type: ignore[union-attr]
    unknown = model.unknown_token
    lengths = [ids.shape[1]] if len(texts) == 1 else mask.sum(1).tolist()
    for text, row, length in zip(texts, ids.tolist(), lengths, strict=True):
        _observe_text(observed, text, length, length < maximum)
        if unknown is not None:
            observe(observed, "unknown", row[:length].count(unknown) / (length or 1))
    if model.known_tokens is not None:
        unfamiliar = ~model.known_tokens[ids % len(model.known_tokens)] & (mask != 0)
        for number, length in zip(unfamiliar.sum(1).tolist(), lengths, strict=True):
            observe(observed, "unfamiliar", number / (length or 1))


def observe_text(text: str, tokens: int) -> None:
    """Count a text and the number of its tokens."""
    if (observed := current().observed) is not None:
        _observe_text(observed, text, tokens, True)


def _observe_text(observed: Observed, text: str, tokens: int, is_whole: bool) -> None:
    observe(observed, "tokens", tokens)
    count(observed, "script", script_of(text))
    if is_whole and tokens:
        observe(observed, "characters_per_token", len(text) / tokens)


def observe_pictures(pictures: Iterable[Image]) -> Iterator[Image]:
    """The pictures, each counted as it passes."""
    observed = current().observed
    for picture in pictures:
        if observed is not None:
            width, height = picture.size
            observe(observed, "pixels", width * height)
            observe(observed, "aspect", width / height)
            grey = np.asarray(picture.resize(SAMPLES, resample=0).convert("L"), np.float32)
            observe(observed, "brightness", float(grey.mean()))
            observe(observed, "contrast", float(grey.std()))
        yield picture


def observe_label(label: int, score: float) -> None:
    """Count the best label of an input, a number of the manifest's labels, and its score."""
    if (observed := current().observed) is not None:
        count(observed, "label", label % LABELS)
        observe(observed, "score", score)


def observe_boxes(labels: Sequence[int], scores: Sequence[float]) -> None:
    """Count the boxes of a picture, best first, and the label and score of the best one."""
    if (observed := current().observed) is not None:
        observe(observed, "boxes", len(scores))
        if scores:
            observe_label(labels[0], scores[0])


def observe_vectors(model: Model[Any, Any], vectors: Array) -> None:
    """Count the cosine distances of (batch, dimensions) from the mean vector of the evaluation, if it is known."""
    if (observed := current().observed) is None:
        return
    centre = model.centre
    if centre is None or vectors.shape[1] != len(centre):
        return
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(centre)
    for distance in (1 - vectors @ centre / np.maximum(norms, 1e-12)).tolist():
        observe(observed, "distance", distance)


def novelty(reference: Reference, observed: Observed) -> float | None:
    """How far a request's input is outside of the evaluation's, 0 to 1; None if nothing can be compared.

    Each feature has the share of the evaluation's inputs that are at least as far out. Fisher's method combines the
    shares; of several inputs, each feature takes the most unusual one.
    """
    shares: dict[str, float] = {}
    for name, index in observed:
        if name in reference.counts and name not in NOT_NOVEL:
            shares[name] = min(shares.get(name, 1.0), _tail(name, reference.counts[name], index))
    if not shares:
        return None
    surprise = -sum(map(math.log, shares.values()))
    terms, total = 1.0, 0.0
    for number in range(len(shares)):
        total += terms
        terms *= surprise / (number + 1)
    return min(max(1 - math.exp(-surprise) * total, 0.0), 1.0)


def _tail(name: str, counts: Sequence[int], index: int) -> float:
    """The share of inputs in a class and beyond it, on the smaller side; never 0."""
    inputs = sum(counts) + 1
    if not FEATURES[name].is_ordered:
        own = counts[index] if index < len(counts) else 0
        return min((sum(number for number in counts if number <= own) + 1) / inputs, 1.0)
    below, above = sum(counts[: index + 1]), sum(counts[index:])
    return min(2 * (min(below, above) + 1) / inputs, 1.0)
