"""The student: one vector per word piece, initialised with the teacher's vector of the piece alone.

Its vectors are in the space of the teacher's sentence vectors, rotated to their principal components. The length of a
piece's vector is its weight in the mean.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hearth_build.networks.word_vectors import WordVectors
from hearth_build.recipes.embeddings_en.data import DIMENSIONS, WORDS, teacher_vectors

SPECIAL_TOKENS = 5
"""Number of special tokens, which come first in the vocabulary; [CLS] and [SEP] are in every text."""


def student(work: Path) -> nn.Module:
    """Return the initial student. Frequent pieces get shorter vectors; a piece's index is its rank by frequency."""
    vectors = teacher_vectors(work / "teacher-words") @ principal_components(work)  # (WORDS, DIMENSIONS)
    weights = torch.log(1 + torch.arange(WORDS, dtype=torch.float32))
    weights /= weights.mean()
    weights[:SPECIAL_TOKENS] *= 0.1
    return WordVectors(vectors * weights[:, None])


def principal_components(work: Path) -> Tensor:
    """Return the principal components of the teacher's sentence vectors, largest first, (384, DIMENSIONS)."""
    vectors = teacher_vectors(work / "teacher-texts")
    _, eigenvectors = torch.linalg.eigh(vectors.T @ vectors)
    components: Tensor = eigenvectors.flip(1)[:, :DIMENSIONS].contiguous()
    return components
