"""Dilated convolutions over characters and hashed character n-grams (Strubell et al. 2017, "Iterated Dilated CNNs").

A transformer that knows no Chinese yet learns less from so few sentences, and takes longer. Convolutions are written
as one matrix product over a character and its two neighbours, which is what int8 kernels are fast at.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 5000
"""Rows of the table of characters, a few more than there are."""
BUCKETS = 2**17
CHARACTER = 128
GRAM = 24
WIDTH = 192
DILATIONS = (1, 2, 4, 8, 1)
PRIME = 1_000_003


class Block(nn.Module):
    """A convolution of width three, added to what came in. (batch, sequence, WIDTH) to the same."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.dense = nn.Linear(3 * WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.15)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        reach = self.dilation
        wide = functional.pad(x, (0, 0, reach, reach))
        window = torch.cat([wide[:, : -2 * reach], x, wide[:, 2 * reach :]], 2)
        added: Tensor = self.norm(x + self.dropout(functional.gelu(self.dense(window))))
        # Padding is zero after every layer, as what lies beyond a sentence's end is: batches change no answer.
        return added * inside


class Tagger(nn.Module):
    """Logits (batch, sequence, labels) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, labels: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(VOCABULARY, CHARACTER)
        self.grams = nn.Embedding(BUCKETS, GRAM)
        # A whole position at a time: what is left must do for characters and n-grams that were never seen.
        self.forget_characters = nn.Dropout1d(0.1)
        self.forget_grams = nn.Dropout1d(0.3)
        self.dense = nn.Linear(CHARACTER + 3 * GRAM, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.2)
        self.blocks = nn.ModuleList(Block(dilation) for dilation in DILATIONS)
        self.classifier = nn.Linear(WIDTH, labels)
        nn.init.normal_(self.characters.weight, std=0.3)
        nn.init.normal_(self.grams.weight, std=0.1)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        inside = attention_mask.unsqueeze(2).to(torch.float32)
        here = input_ids * attention_mask
        before, after = functional.pad(here, (1, 0))[:, :-1], functional.pad(here, (0, 1))[:, 1:]
        left, right = before * PRIME + here, here * PRIME + after
        features = [self.forget_characters(self.characters(here))]
        features += [self.forget_grams(self.grams(gram % BUCKETS)) for gram in (left, right, left * PRIME + after + 7)]
        x = self.norm(self.dense(torch.cat(features, 2)))
        x = self.dropout(x) * inside
        for block in self.blocks:
            x = block(x, inside)
        logits: Tensor = self.classifier(x)
        return logits
