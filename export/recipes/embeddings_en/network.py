"""The student: a vector a word piece, which begins as what the teacher says of the piece alone.

Its vectors live in the space of the teacher's sentence vectors, turned so that the first dimensions hold the most.
How long a piece's vector is says how much it counts in the mean.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hearth_build.networks.word_vectors import WordVectors
from hearth_build.recipes.embeddings_en.data import DIMENSIONS, WORDS, teacher_vectors

SPECIAL = 5
"""Tokens at the head of the vocabulary; [CLS] and [SEP] stand in every text."""


def student(work: Path) -> nn.Module:
    """Frequent pieces are shortened, as the vocabulary, which runs from frequent to rare, lets one guess (Zipf)."""
    alone = teacher_vectors(work / "teacher-words") @ turned(work)  # (WORDS, DIMENSIONS)
    weights = torch.log(1 + torch.arange(WORDS, dtype=torch.float32))
    weights /= weights.mean()
    weights[:SPECIAL] *= 0.1
    return WordVectors(alone * weights[:, None])


def turned(work: Path) -> Tensor:
    """(384, DIMENSIONS): the directions in which the teacher's sentence vectors are largest, largest first."""
    vectors = teacher_vectors(work / "teacher-texts")
    _, directions = torch.linalg.eigh(vectors.T @ vectors)
    largest: Tensor = directions.flip(1)[:, :DIMENSIONS].contiguous()
    return largest
