"""What an engine of a bare graph adds for a text classifier: texts to ids, logits to scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Tokenizer


def scored(
    tokens: str, texts: Sequence[str], run: Callable[[dict[str, np.ndarray]], np.ndarray]
) -> Callable[[], np.ndarray]:
    """From the texts to the scores of their classes (texts, classes), through `run`: `input_ids` and `attention_mask`
    (texts, tokens) in, logits (texts, classes) out. `tokens` is a tokenizer.json."""
    tokenizer = Tokenizer.from_file(tokens)
    tokenizer.enable_padding()

    def answer() -> np.ndarray:
        encodings = tokenizer.encode_batch(texts)
        ids = np.array([encoding.ids for encoding in encodings])
        mask = np.array([encoding.attention_mask for encoding in encodings])
        logits = run({"input_ids": ids, "attention_mask": mask})
        raised = np.exp(logits - logits.max(1, keepdims=True))
        scores: np.ndarray = raised / raised.sum(1, keepdims=True)
        return scores

    return answer
