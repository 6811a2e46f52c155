"""Heads of a BERT encoder other than sequence classification. Parameter names equal Hugging Face's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from hearth_build.networks.bert import Encoder, Shape, initialise


class TokenClassifier(nn.Module):
    """Logits (batch, sequence, labels) from int64 input_ids and attention_mask (batch, sequence)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)
        self.dropout = nn.Dropout(shape.dropout)
        self.classifier = nn.Linear(shape.hidden, shape.labels)
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.dropout(self.bert(input_ids, attention_mask)))
        return logits


class SpanPredictor(nn.Module):
    """Extractive question answering: logits (batch, sequence) of the first and of the last token of the answer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)
        self.qa_outputs = nn.Linear(shape.hidden, 2)
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        start, end = self.qa_outputs(self.bert(input_ids, attention_mask, token_type_ids)).unbind(2)
        return start, end


class MaskedTokenPredictor(nn.Module):
    """Logits (masked tokens, vocabulary) for each token with the id `mask_id`, row after row.

    The other tokens get no logits: computing them would take most of the time and memory.
    """

    def __init__(self, shape: Shape, mask_id: int) -> None:
        super().__init__()
        self.mask_id = mask_id
        self.bert = Encoder(shape, pooler=False)
        self.cls = nn.ModuleDict({"predictions": PredictionHead(shape)})
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.bert(input_ids, attention_mask)[input_ids == self.mask_id]
        logits: Tensor = self.cls["predictions"](states, self.bert.embeddings.word_embeddings.weight)
        return logits


class PredictionHead(nn.Module):
    """Logits (..., vocabulary) from hidden states (..., hidden); the output matrix is the word embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dense, norm = nn.Linear(shape.hidden, shape.hidden), nn.LayerNorm(shape.hidden, shape.epsilon)
        self.transform = nn.ModuleDict({"dense": dense, "LayerNorm": norm})
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def forward(self, x: Tensor, embeddings: Tensor) -> Tensor:
        features = self.transform["LayerNorm"](functional.gelu(self.transform["dense"](x)))
        return functional.linear(features, embeddings, self.bias)
