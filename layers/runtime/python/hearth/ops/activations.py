"""A classifier's logits as scores, and the best of them."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


def activate(logits: Array, function: str) -> Array:
    """`softmax` over the last axis, `sigmoid` of each, or `none`. Same shape, float32."""
    if function == "none":
        return logits
    if function == "sigmoid":
        return (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
    powers: Array = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: Array = powers.sum(axis=-1, keepdims=True)
    return powers / total


def best(scores: Array, count: int) -> list[Any]:
    """Indices of the `count` largest scores of the last axis, largest first; equal ones in their own order.

    A list for (labels,) scores, a list of lists for (rows, labels).
    """
    return (-scores).argsort(kind="stable")[..., :count].tolist()  # type: ignore[no-any-return]
