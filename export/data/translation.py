"""Shared by the translation recipes: a joint tokenizer, batches of pairs by number of tokens, loss and score."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from torch import Tensor, nn
from torch.nn import functional

from hearth_build.data.text import pad, tokens_of
from hearth_build.networks.marian import Marian
from hearth_build.recipe import AdamW, Batch, Linear, Stage

PAD, EOS, UNKNOWN = "<pad>", "</s>", "<unk>"
PAD_ID, EOS_ID = 0, 1
LABEL_SMOOTHING = 0.1
Pair = tuple[str, str]
"""Source and translation."""
SCRIPTS = {"zh-Hans": "gb2312", "zh-Hant": "big5"}
"""Character sets that predate Unicode, each of which contains the characters of one script."""


def language_token(language: str) -> str:
    """The first token of a source, for networks that translate into several languages, as in Marian's checkpoints."""
    return f">>{language}<<"


def scripts(text: str) -> list[str]:
    """The `SCRIPTS` that have all Chinese characters of the text; none if the text has no such character."""
    chinese = "".join(character for character in text if "\u4e00" <= character <= "\u9fff")
    if not chinese:
        return []
    return [
        script for script, charset in SCRIPTS.items() if chinese.encode(charset, "ignore").decode(charset) == chinese
    ]


def joint_bpe(
    texts: Iterable[str], vocabulary: int, *, lowercase: bool, special: Sequence[str] = (), characters: bool = False
) -> Tokenizer:
    """Train a byte-pair encoding of both languages together.

    A word begins with ▁, so that decoding restores its space, and punctuation is separated. `special` are further
    tokens that are never split. With `characters`, every Chinese character is a token of its own, for data sets that
    are too small to learn words.
    """
    tokenizer = Tokenizer(BPE(unk_token=UNKNOWN))
    case_folding = [normalizers.Lowercase()] if lowercase else []
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *case_folding, *spaces])
    han = [pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")] if characters else []
    words = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*words, *han])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, EOS_ID)])
    trainer = BpeTrainer(vocab_size=vocabulary, special_tokens=[PAD, EOS, UNKNOWN, *special], show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    assert (tokenizer.token_to_id(PAD), tokenizer.token_to_id(EOS)) == (PAD_ID, EOS_ID)
    return tokenizer


def write_pairs(work: Path, name: str, pairs: Sequence[Pair]) -> None:
    (work / f"{name}.json").write_text(json.dumps(pairs, ensure_ascii=False), encoding="utf-8")


def read_pairs(work: Path, name: str) -> list[Pair]:
    return [(source, target) for source, target in json.loads((work / f"{name}.json").read_text(encoding="utf-8"))]


@dataclass
class Pairs:
    """Batches of pairs of similar lengths, with about `size` target tokens each."""

    sources: list[list[int]]
    targets: list[list[int]]
    start: int = PAD_ID
    """The decoder's start token."""

    @classmethod
    def read(cls, work: Path, name: str, max_tokens: int) -> Pairs:
        sources, targets = zip(*read_pairs(work, name), strict=True)
        return cls(tokens_of(work, sources, max_tokens), tokens_of(work, targets, max_tokens))

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        random = np.random.default_rng((seed, epoch))
        pairs = zip(self.targets, self.sources, strict=True)
        lengths = np.array([(len(target), len(source)) for target, source in pairs])
        # Sorted by target length, then by source length, and randomly if both are equal.
        order = np.lexsort((random.random(len(lengths)), lengths[:, 1], lengths[:, 0]))
        total = np.cumsum(lengths[order, 0])
        count = max(1, round(total[-1] / size))
        batches = np.split(order, np.searchsorted(total, np.arange(1, count) * total[-1] / count))
        return [batches[number].tolist() for number in random.permutation(count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        targets = pad([self.targets[index] for index in indices])
        labels, mask = targets["input_ids"], targets["attention_mask"].bool()
        decoder_input_ids = labels.roll(1, 1)
        decoder_input_ids[:, 0] = self.start
        batch = pad([self.sources[index] for index in indices])
        return batch | {"decoder_input_ids": decoder_input_ids, "target_mask": mask, "labels": labels[mask]}


def logits_of(network: nn.Module, batch: Batch) -> Tensor:
    """Logits, (target tokens, vocabulary). Padding is removed before the projection, the largest multiplication."""
    assert isinstance(network, Marian)
    memory = network.encode(batch["input_ids"], batch["attention_mask"])
    states = network.decode(batch["decoder_input_ids"], memory, batch["attention_mask"])
    return network.project(states[batch["target_mask"]])


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_of(network, batch), batch["labels"], label_smoothing=LABEL_SMOOTHING)


def stage(
    name: str,
    network: Callable[[Path], nn.Module],
    max_tokens: int,
    *,
    learning_rate: float,
    warmup: float,
    epochs: int,
    batch_size: int,
    ema_decay: float,
) -> Stage:
    """Train on the pairs in train.json, in batches of `batch_size` target tokens, and score on those in held.json."""
    return Stage(
        name=name,
        network=network,
        batches=lambda work: Pairs.read(work, "train", max_tokens),
        loss=loss,
        score=lambda network, work: score(network, Pairs.read(work, "held", max_tokens)),
        optimiser=AdamW(learning_rate=learning_rate, betas=(0.9, 0.98)),
        schedule=Linear(warmup=warmup),
        epochs=epochs,
        batch_size=batch_size,
        max_grad_norm=1.0,
        ema_decay=ema_decay,
    )


def score(network: nn.Module, pairs: Pairs) -> dict[str, float]:
    """Accuracy and cross-entropy of the next target token, given the true tokens before it."""
    correct = total = 0
    entropy = 0.0
    for indices in pairs.plan(0, 4000, 0):
        batch = pairs.collate(indices, 0.0)
        logits = logits_of(network, batch)
        correct += int((logits.argmax(1) == batch["labels"]).sum())
        entropy += functional.cross_entropy(logits, batch["labels"], reduction="sum").item()
        total += len(logits)
    return {"accuracy": correct / total, "entropy": entropy / total}
