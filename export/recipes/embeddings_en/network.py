"""The student: wide word vectors from the teacher's own, and two layers that add what the words' company changes.

Its vectors live in the space of the teacher's sentence vectors, turned so that the first dimensions hold the most.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from export.bert import SelfAttention, Shape
from export.recipes.embeddings_en.data import DIMENSIONS, MAX_TOKENS, WORDS, teacher_vectors

LAYERS = 2
HEADS = 4
EXPANDED = 512


class Layer(nn.Module):
    """Attention and a feed-forward network, both added to what comes in; at first they add nothing."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.before_attention = nn.LayerNorm(shape.hidden)
        self.attention = SelfAttention(shape)
        self.mixed = nn.Linear(shape.hidden, shape.hidden)
        self.before_forward = nn.LayerNorm(shape.hidden)
        self.expand = nn.Linear(shape.hidden, shape.intermediate)
        self.contract = nn.Linear(shape.intermediate, shape.hidden)
        for last in (self.mixed, self.contract):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self.mixed(self.attention(self.before_attention(x), mask))
        expanded = functional.gelu(self.expand(self.before_forward(x)))
        added: Tensor = x + self.contract(expanded)
        return added


class Student(nn.Module):
    """Token vectors (batch, sequence, DIMENSIONS) from int64 input_ids and attention_mask (batch, sequence).

    No norm at the end: how long a token's vector is says how much it counts in the mean.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        shape = Shape(WORDS, DIMENSIONS, layers, HEADS, EXPANDED, MAX_TOKENS, labels=1)
        self.words = nn.Embedding(WORDS, DIMENSIONS)
        self.positions = nn.Embedding(MAX_TOKENS, DIMENSIONS)
        nn.init.zeros_(self.positions.weight)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        places = self.positions(torch.arange(input_ids.shape[1], device=input_ids.device))
        x: Tensor = self.words(input_ids)
        if self.layers:
            x = x + places
        mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * -10000.0
        for layer in self.layers:
            x = layer(x, mask)
        return x


def turned(work: Path) -> Tensor:
    """(384, DIMENSIONS): the directions in which the teacher's sentence vectors are largest, largest first."""
    vectors = teacher_vectors(work / "teacher-texts")
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    largest: Tensor = directions.flip(1)[:, :DIMENSIONS].contiguous()
    return largest


def words(work: Path) -> nn.Module:
    """Only word vectors: what the teacher says of each word alone, frequent ones shortened (Zipf, as of SIF)."""
    student = Student(layers=0)
    alone = teacher_vectors(work / "teacher-words") @ turned(work)
    weights = torch.log(1 + torch.arange(WORDS, dtype=torch.float32))  # the vocabulary runs from frequent to rare
    with torch.no_grad():
        student.words.weight.copy_(alone * (weights / weights.mean())[:, None])
        student.words.weight[:5] *= 0.1  # the special tokens stand in every text
    return student


def contextual(work: Path) -> nn.Module:
    student = Student(LAYERS)
    student.load_state_dict(torch.load(work / "words" / "weights.pt", weights_only=True), strict=False)
    return student
