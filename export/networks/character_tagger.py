"""Dilated convolutions over characters and hashed character n-grams (Strubell et al. 2017, "Iterated Dilated CNNs").

A transformer without pre-training learns less from so few sentences and takes longer. Each convolution is one matrix
product over a character and its two neighbours, for which int8 kernels are fast.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

BUCKETS = 2**17
"""Number of hash buckets of n-grams."""
CHARACTER = 128
GRAM = 24
WIDTH = 192
DILATIONS = (1, 2, 4, 8, 1)
PRIME = 1_000_003


class Block(nn.Module):
    """A dilated convolution of width three with a residual connection, (batch, sequence, WIDTH) to the same."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.dense = nn.Linear(3 * WIDTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(0.15)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        dilation = self.dilation
        padded = functional.pad(x, (0, 0, dilation, dilation))
        window = torch.cat([padded[:, : -2 * dilation], x, padded[:, 2 * dilation :]], 2)
        added: Tensor = self.norm(x + self.dropout(functional.gelu(self.dense(window))))
        # Padded tokens are zero after every layer, like positions beyond the end of a sentence. Outputs therefore
        # do not depend on other sentences of a batch.
        return added * mask


class Tagger(nn.Module):
    """Logits (batch, sequence, labels) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, labels: int, vocabulary: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, CHARACTER)
        self.grams = nn.Embedding(BUCKETS, GRAM)
        # Dropout of whole embeddings: the network must also handle characters and n-grams that were never seen.
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
        mask = attention_mask.unsqueeze(2).to(torch.float32)
        ids = input_ids * attention_mask
        previous, following = functional.pad(ids, (1, 0))[:, :-1], functional.pad(ids, (0, 1))[:, 1:]
        left_bigram, right_bigram = previous * PRIME + ids, ids * PRIME + following
        features = [self.forget_characters(self.characters(ids))]
        trigram = left_bigram * PRIME + following + 7
        features += [self.forget_grams(self.grams(gram % BUCKETS)) for gram in (left_bigram, right_bigram, trigram)]
        x = self.norm(self.dense(torch.cat(features, 2)))
        x = self.dropout(x) * mask
        for block in self.blocks:
            x = block(x, mask)
        logits: Tensor = self.classifier(x)
        return logits
