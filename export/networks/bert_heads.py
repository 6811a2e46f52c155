"""What stands on a BERT encoder beside a classifier. Parameter names equal Hugging Face's."""

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


class Reader(nn.Module):
    """Question answering: logits (batch, sequence) of where an answer starts and of where it ends."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.bert = Encoder(shape, pooler=False)
        self.qa_outputs = nn.Linear(shape.hidden, 2)
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> tuple[Tensor, Tensor]:
        start, end = self.qa_outputs(self.bert(input_ids, attention_mask, token_type_ids)).unbind(2)
        return start, end


class Guesser(nn.Module):
    """Logits (masked tokens, vocabulary) of what stands behind each token that is `mask`, row after row.

    Nothing else is computed: a vocabulary's logits for every token of a batch would be most of the work and memory.
    """

    def __init__(self, shape: Shape, mask: int) -> None:
        super().__init__()
        self.mask = mask
        self.bert = Encoder(shape, pooler=False)
        self.cls = nn.ModuleDict({"predictions": Predictions(shape)})
        self.apply(initialise)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        chosen = self.bert(input_ids, attention_mask)[input_ids == self.mask]
        logits: Tensor = self.cls["predictions"](chosen, self.bert.embeddings.word_embeddings.weight)
        return logits


class Predictions(nn.Module):
    """Logits (..., vocabulary) from vectors (..., hidden); the output matrix is the word embedding's."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        dense, norm = nn.Linear(shape.hidden, shape.hidden), nn.LayerNorm(shape.hidden, shape.epsilon)
        self.transform = nn.ModuleDict({"dense": dense, "LayerNorm": norm})
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))

    def forward(self, x: Tensor, words: Tensor) -> Tensor:
        features = self.transform["LayerNorm"](functional.gelu(self.transform["dense"](x)))
        return functional.linear(features, words, self.bias)
