"""Token vectors of our own BERT encoder, for the sentence embeddings that this project trains."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hearth_build.networks.bert import Encoder, Shape
from hearth_build.onnx_export.export import traced

TEXTS = (
    "A man is playing the guitar.",
    ["A man is playing the guitar.", "Somebody plays an instrument."],
    ["How do I reset my password?", "I forgot my login, what can I do?"],
    ["Two dogs run through the snow.", "The bank raised its interest rates."],
)
"""Golden inputs: a text, whose vectors are compared, and pairs of texts, whose similarities are compared."""


class SentenceEncoder(nn.Module):
    """Token vectors (batch, sequence, hidden) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        tokens: Tensor = self.bert(input_ids, attention_mask)
        return tokens


def graph() -> Any:
    """Return the function that writes the graph from token ids to the vectors `tokens`."""
    return traced(
        lambda: {"input_ids": torch.ones(2, 8).long(), "attention_mask": torch.ones(2, 8).long()},
        {name: {0: "batch", 1: "sequence"} for name in ("input_ids", "attention_mask", "tokens")},
        outputs=("tokens",),
    )
