"""Shared by the text recipes: tokenizers, length-bucketed batches, masking, distillation, scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from torch.nn import functional

from hearth_build.pipeline.train import weights_of
from hearth_build.recipe import Batch

MASK = "[MASK]"
TEMPERATURE = 2.0
"""Softens the teacher's logits in distillation."""


def wordpiece(vocabulary: Path) -> Tokenizer:
    """BERT's uncased tokenizer from its vocab.txt, without truncation and padding, which the function does."""
    tokens = vocabulary.read_text(encoding="utf-8").splitlines()
    ids = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = [(token, ids[token]) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", MASK])
    return tokenizer


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids, truncated as the function truncates: the last token is kept."""
    encoded = (encoding.ids for encoding in tokenizer.encode_batch(list(texts)))
    return [ids if len(ids) <= max_tokens else [*ids[: max_tokens - 1], ids[-1]] for ids in encoded]


def tokens_of(work: Path, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
    """Token ids by the tokenizer.json in a recipe's work folder."""
    return tokenize(Tokenizer.from_file(str(work / "tokenizer.json")), texts, max_tokens)


def pad(rows: Sequence[Sequence[int]], pad_id: int = 0) -> Batch:
    """`input_ids` and `attention_mask`, int64 (batch, longest)."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.full((len(rows), int(lengths.max())), pad_id, dtype=torch.int64)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).to(torch.int64)
    return {"input_ids": ids, "attention_mask": mask}


def batches_by_length(lengths: Sequence[int], size: int, seed: tuple[int, int]) -> list[list[int]]:
    """Numbers of texts in batches of similar length, in random order."""
    random = np.random.default_rng(seed)
    # Lengths get a little noise, so that the batches of different epochs differ.
    noisy = np.array(lengths) * random.uniform(0.85, 1.15, len(lengths))
    batches = np.array_split(np.argsort(noisy), -(-len(lengths) // size))
    return [batches[number].tolist() for number in random.permutation(len(batches))]


@dataclass
class Texts:
    """Batches of texts of similar length, in random order. `extra` are further tensors by row, such as labels."""

    rows: list[list[int]]
    extra: dict[str, Tensor]
    pad_id: int = field(default=0, kw_only=True)

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        return batches_by_length([len(row) for row in self.rows], size, (seed, epoch))

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        extra = {name: values[indices] for name, values in self.extra.items()}
        return pad([self.rows[index] for index in indices], self.pad_id) | extra


@dataclass
class MaskedTexts(Texts):
    """Texts for masked language modelling: 15 % of the tokens are predicted, of which 80 % are masked, 10 % replaced
    and 10 % unchanged."""

    mask_id: int
    vocabulary: int

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        batch = pad([self.rows[index] for index in indices], self.pad_id)
        ids, inside = batch["input_ids"], batch["attention_mask"].bool()
        inside[:, 0] = False  # [CLS]
        inside &= batch["attention_mask"].roll(-1, 1).bool()  # [SEP]
        masked = inside & (torch.rand(ids.shape) < 0.15)
        masked[0, 1] |= ~masked.any()  # never an empty loss
        targets = ids[masked]
        dice = torch.rand(ids.shape)
        changed = ids.masked_fill(masked & (dice < 0.8), self.mask_id)
        random = torch.randint(self.vocabulary, ids.shape)
        changed = torch.where(masked & (dice >= 0.8) & (dice < 0.9), random, changed)
        return {"input_ids": changed, "attention_mask": batch["attention_mask"], "masked": masked, "targets": targets}


def logits_of(network: nn.Module, rows: Sequence[Sequence[int]], size: int = 64, pad_id: int = 0) -> Tensor:
    """Logits, float32 (rows, labels), in the order of `rows`, without dropout and gradients."""
    network.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    batches: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(order), size):
            batches.append(network(**pad([rows[index] for index in order[start : start + size]], pad_id)))
    inverse = torch.empty(len(order), dtype=torch.int64)
    inverse[torch.tensor(order)] = torch.arange(len(order))
    return torch.cat(batches)[inverse]


def distillation_texts(
    work: Path,
    teacher: Callable[[Path], nn.Module],
    labelled: Sequence[tuple[str, int]],
    unlabelled: Sequence[str],
    max_tokens: int,
) -> Texts:
    """Texts with their labels (-1: unknown) and the logits of the network that the stage "teacher" trained.

    The logits are computed once and cached in the work folder.
    """
    rows = tokens_of(work, [*(text for text, _ in labelled), *unlabelled], max_tokens)
    cache = work / "teacher" / "logits.pt"
    if not cache.exists():
        network = teacher(work)
        network.load_state_dict(weights_of(work, "teacher"))
        partial = cache.with_suffix(".partial")
        torch.save(logits_of(network, rows), partial)
        partial.replace(cache)
    labels = [label for _, label in labelled] + [-1] * len(unlabelled)
    return Texts(rows, {"labels": torch.tensor(labels), "teacher": torch.load(cache, weights_only=True)})


def distillation_loss(logits: Tensor, batch: Batch) -> Tensor:
    """Cross-entropy with the teacher's softened output, plus half of that with the true label if it is known.

    See Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network".
    """
    soft = softened_loss(logits, batch["teacher"])
    has_label = batch["labels"] >= 0
    hard = functional.cross_entropy(logits[has_label], batch["labels"][has_label], reduction="sum") / len(has_label)
    return soft + 0.5 * hard


def softened_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy of logits (rows, classes) with the teacher's, both softened."""
    targets = functional.softmax(taught / TEMPERATURE, 1)
    return functional.cross_entropy(logits / TEMPERATURE, targets) * TEMPERATURE**2


def accuracy(logits: Tensor, labels: Tensor) -> float:
    return (logits.argmax(1) == labels).double().mean().item()
