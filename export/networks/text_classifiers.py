"""A classifier of texts without an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLIERS = (1, 1_000_003, 998_244_353)
"""Primes that mix the ids of the first, second and third token of an n-gram. Products of ids stay below 2 ** 63."""


class HashedNgrams(nn.Module):
    """A linear model of n-grams of tokens, whose weights are found by a hash of their ids (the hashing trick).

    The weights of the n-grams of a text are added and divided by the root of their number.
    """

    def __init__(self, buckets: int, labels: int, length: int) -> None:
        super().__init__()
        self.buckets, self.length = buckets, length
        self.weights = nn.Embedding(buckets, labels)
        self.bias = nn.Parameter(torch.zeros(labels))

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bucket of each n-gram and whether it is within the text, both (batch, n-grams)."""
        hashes, masks = [], []
        mixed, mask = input_ids * 0, torch.ones_like(attention_mask)
        for order in range(self.length):
            # The ids of the tokens `order` places before; there are none before the text, and they are masked.
            earlier = functional.pad(input_ids + 1, (order, 0))[:, : input_ids.shape[1]]
            mixed = mixed + earlier * MULTIPLIERS[order]
            mask = mask * functional.pad(attention_mask, (order, 0))[:, : input_ids.shape[1]]
            hashes.append((mixed + order * 7919) % self.buckets)
            masks.append(mask)
        return torch.cat(hashes, 1), torch.cat(masks, 1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        buckets, mask = self.features(input_ids, attention_mask)
        weights = mask.to(self.bias.dtype)[..., None]
        total = (self.weights(buckets) * weights).sum(1)  # (batch, labels)
        return total / weights.sum(1).clamp(min=1).sqrt() + self.bias
