"""Activation functions that turn a classifier's logits into scores, and the best scores."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


def activate(logits: Array, function: str) -> Array:
    """Apply `softmax` over the last axis, `sigmoid` to each logit, or `none`. Same shape, float32."""
    if function == "none":
        return logits
    if function == "sigmoid":
        return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
    exponentials: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: Array = exponentials.sum(axis=-1, keepdims=True)
    return exponentials / total


def top_indices(scores: Array, count: int) -> list[Any]:
    """Indices of the `count` largest scores of the last axis, largest first; ties keep their order.

    A list for (labels,) scores, a list of lists for (rows, labels).
    """
    return (-scores).argsort(kind="stable")[..., :count].tolist()  # type: ignore[no-any-return]
