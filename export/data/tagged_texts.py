"""Texts with a label for each token: tokenizers of characters, and batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Regex, Tokenizer, decoders, normalizers
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Split
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from hearth_build.data.text import Texts, logits_of
from hearth_build.recipe import Batch

MIN_COUNT = 2
"""Rarer characters are unknown tokens, so that the network learns to handle unknown characters too."""
PAD, UNKNOWN = "[PAD]", "[UNK]"
IGNORE_INDEX = -100
"""Label of padding in the loss."""


@dataclass
class TaggedTexts(Texts):
    """Batches of sentences with one label per token."""

    labels: list[list[int]]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        labels = [torch.tensor(self.labels[index]) for index in indices]
        return super().collate(indices, progress) | {"labels": pad_sequence(labels, True, IGNORE_INDEX)}


def character_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Build a tokenizer of one token per character, normalised in width and case.

    Spaces are characters too, so that offsets and words are exact.
    """
    spaces = normalizers.Replace(Regex(r"\s"), " ")
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), spaces])
    counts = Counter(character for text in texts for character in normalizer.normalize_str(text))
    by_frequency = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    frequent = [character for character, count in by_frequency if count >= MIN_COUNT]
    vocabulary = dict.fromkeys([PAD, UNKNOWN, " ", *frequent])
    # WordPiece marks pieces of words with ##. There are none, so every character is a word when entities are grouped.
    tokenizer = Tokenizer(WordPiece({token: index for index, token in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([PAD, UNKNOWN])
    return tokenizer


def predict_labels(network: nn.Module, rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the best label of every token; rows of equal length form a batch."""
    predicted: list[list[int]] = [[] for _ in rows]
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_length.setdefault(len(row), []).append(index)
    for indices in by_length.values():
        best = logits_of(network, [rows[index] for index in indices]).argmax(2).tolist()
        for index, labels in zip(indices, best, strict=True):
            predicted[index] = labels
    return predicted
