"""Batches of pairs of texts, tokenized together as the functions tokenize them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Encoding
from torch import Tensor

from hearth.ops.text.windows import pad
from hearth_build.data.text import batches_by_length
from hearth_build.recipe import Batch


@dataclass
class TextPairs:
    """Batches of pairs of similar length, in random order. `extra` are further tensors by row, such as labels."""

    rows: list[Encoding]
    extra: dict[str, Tensor]
    inputs: Sequence[str]
    """Names of the network's inputs."""
    pad_id: int

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        return batches_by_length([len(row) for row in self.rows], size, (seed, epoch))

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        feeds = pad([self.rows[index] for index in indices], self.pad_id, self.inputs)
        extra = {name: values[list(indices)] for name, values in self.extra.items()}
        return {name: torch.from_numpy(values) for name, values in feeds.items()} | extra

    def inputs_of(self, batch: Batch) -> dict[str, Tensor]:
        return {name: batch[name] for name in self.inputs}
