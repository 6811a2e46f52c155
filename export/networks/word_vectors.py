"""Static word embeddings: a word has the same vector in every context."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WordVectors(nn.Module):
    """(batch, sequence, dimensions) from int64 input_ids and attention_mask (batch, sequence); zero where masked."""

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.words = nn.Embedding(*vectors.shape)
        self.words.weight = nn.Parameter(vectors.to(torch.float32))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        vectors: Tensor = self.words(input_ids) * attention_mask[:, :, None]
        return vectors
