"""Heads over an encoder of texts.

An encoder gives token vectors (batch, sequence, hidden) from int64 `input_ids`, `attention_mask` and, where it knows
them, `token_type_ids`, each (batch, sequence).
"""

from __future__ import annotations

from torch import Tensor, nn

from hearth_build.networks.pooling import pool

DROPOUT = 0.1


class TextClassifier(nn.Module):
    """Logits (batch, labels) of the mean of the token vectors."""

    def __init__(self, encoder: nn.Module, hidden: int, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = linear(hidden, labels)

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Return the mean vector of each text, (batch, hidden)."""
        return pool(self.encoder(input_ids, attention_mask, token_type_ids), attention_mask, "mean")

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.embed(input_ids, attention_mask, token_type_ids)))
        return logits


class TokenClassifier(nn.Module):
    """Logits (batch, sequence, labels) of each token."""

    def __init__(self, encoder: nn.Module, hidden: int, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(DROPOUT)
        self.classifier = linear(hidden, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        tokens = self.encoder(input_ids, attention_mask, token_type_ids)
        logits: Tensor = self.classifier(self.dropout(tokens))
        return logits


class SpanPredictor(nn.Module):
    """Logits (batch, sequence) of the first and of the last token of the answer."""

    def __init__(self, encoder: nn.Module, hidden: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.edges = linear(hidden, 2)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        start, end = self.edges(self.encoder(input_ids, attention_mask, token_type_ids)).unbind(2)
        return start, end


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer
