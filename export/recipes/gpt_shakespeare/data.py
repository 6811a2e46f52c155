"""Tiny Shakespeare: the last tenth is held out, and a byte-level BPE is trained on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from hearth_build.data.datasets import Source
from hearth_build.recipe import Batch, Example

VOCABULARY = 1024
TRAIN_SHARE, VALIDATION_SHARE = 0.9, 0.036
"""Shares of all characters. The validation text is the end of the training share; it selects the best epoch, so that
the held-out tenth does not."""
TEXT = Source(
    path="gpt_corpus/tinyshakespeare.txt",
    title="Tiny Shakespeare",
    published="https://github.com/karpathy/char-rnn/tree/master/data/tinyshakespeare",
    licence="public domain text",
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)


def prepare(work: Path) -> None:
    """Write train.txt, watch.txt (validation), held.txt (held out) and tokenizer.json."""
    text = TEXT.file().read_text(encoding="utf-8")
    end = int(len(text) * TRAIN_SHARE)
    start = end - int(len(text) * VALIDATION_SHARE)
    for name, split in (("train", text[:start]), ("watch", text[start:end]), ("held", text[end:])):
        (work / f"{name}.txt").write_text(split, encoding="utf-8")
    train_tokenizer(text[:start]).save(str(work / "tokenizer.json"), pretty=False)


def train_tokenizer(text: str) -> Tokenizer:
    """Train a byte-level BPE like GPT-2's, with VOCABULARY tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def ids_of(work: Path, name: str) -> Tensor:
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    return torch.tensor(tokenizer.encode((work / f"{name}.txt").read_text(encoding="utf-8")).ids)


@dataclass
class Windows:
    """Windows of `length` tokens and the next one, with another offset in every epoch."""

    ids: Tensor
    length: int

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        random = np.random.default_rng((seed, epoch))
        starts = np.arange(random.integers(self.length), len(self.ids) - self.length, self.length)
        count = (len(self.ids) // self.length - 2) // size
        return random.permutation(starts)[: count * size].reshape(count, size).tolist()  # type: ignore[no-any-return]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        return {"ids": torch.stack([self.ids[start : start + self.length + 1] for start in indices])}


def held_out(work: Path) -> list[Example]:
    return [Example((work / "held.txt").read_text(encoding="utf-8"), None)]
