"""Preprocessing and postprocessing of a text classifier for engines that run a bare graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer


def classifier(
    tokens: str, texts: Sequence[str], run: Callable[[dict[str, np.ndarray]], np.ndarray]
) -> Callable[[], np.ndarray]:
    """A call that returns the scores of the texts (texts, classes). `run` maps `input_ids` and `attention_mask`
    (texts, tokens) to logits (texts, classes). `tokens` is the path of a tokenizer.json."""
    tokenizer = Tokenizer.from_file(tokens)
    tokenizer.enable_padding()

    def classify() -> np.ndarray:
        encodings = tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings])
        logits = run({"input_ids": ids, "attention_mask": mask})
        exponents = np.exp(logits - logits.max(1, keepdims=True))
        scores: np.ndarray = exponents / exponents.sum(1, keepdims=True)
        return scores

    return classify
