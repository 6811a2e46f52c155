"""What the translation recipes share: a joint tokenizer, batches of pairs by number of tokens, loss and score."""

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
SMOOTHING = 0.1
Pair = tuple[str, str]
SCRIPTS = {"zh-Hans": "gb2312", "zh-Hant": "big5"}
"""Character sets from before Unicode: each holds the characters of one script."""


def language_token(language: str) -> str:
    """What a source begins with where a network translates into several languages, as in Marian's checkpoints."""
    return f">>{language}<<"


def scripts(text: str) -> list[str]:
    """Of `SCRIPTS`, those that have every Chinese character of the text; none where there is no such character."""
    chinese = "".join(letter for letter in text if "\u4e00" <= letter <= "\u9fff")
    if not chinese:
        return []
    return [
        script for script, charset in SCRIPTS.items() if chinese.encode(charset, "ignore").decode(charset) == chinese
    ]


def joint_bpe(
    texts: Iterable[str], vocabulary: int, *, lowercase: bool, special: Sequence[str] = (), characters: bool = False
) -> Tokenizer:
    """Byte-pair encoding of both languages; a word begins with ▁, so that decoding gives its space back, and
    punctuation stands alone. `special` are more tokens that are never cut; with `characters`, Chinese ones stand
    alone, for too few sentences would teach their words."""
    tokenizer = Tokenizer(BPE(unk_token=UNKNOWN))
    folded = [normalizers.Lowercase()] if lowercase else []
    spaces = [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *folded, *spaces])
    alone = [pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")] if characters else []
    words = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*words, *alone])
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
    """Batches of pairs of like lengths, of about `size` target tokens each."""

    sources: list[list[int]]
    targets: list[list[int]]

    @classmethod
    def of(cls, work: Path, name: str, longest: int) -> Pairs:
        sources, targets = zip(*read_pairs(work, name), strict=True)
        return cls(tokens_of(work, sources, longest), tokens_of(work, targets, longest))

    def plan(self, epoch: int, size: int, seed: int) -> Sequence[Sequence[int]]:
        random = np.random.default_rng((seed, epoch))
        lengths = np.array([(len(one), len(other)) for one, other in zip(self.targets, self.sources, strict=True)])
        # By target length, within one by source length, and at random where both are equal.
        order = np.lexsort((random.random(len(lengths)), lengths[:, 1], lengths[:, 0]))
        total = np.cumsum(lengths[order, 0])
        count = max(1, round(total[-1] / size))
        batches = np.split(order, np.searchsorted(total, np.arange(1, count) * total[-1] / count))
        return [batches[number].tolist() for number in random.permutation(count)]

    def collate(self, indices: Sequence[int], progress: float) -> Batch:
        targets = pad([self.targets[index] for index in indices])
        wanted, inside = targets["input_ids"], targets["attention_mask"].bool()
        given = wanted.roll(1, 1)
        given[:, 0] = PAD_ID
        batch = pad([self.sources[index] for index in indices])
        return batch | {"decoder_input_ids": given, "inside": inside, "wanted": wanted[inside]}


def logits_of(network: nn.Module, batch: Batch) -> Tensor:
    """(target tokens, vocabulary): padding is left out before the largest of all multiplications."""
    assert isinstance(network, Marian)
    memory = network.encode(batch["input_ids"], batch["attention_mask"])
    states = network.decode(batch["decoder_input_ids"], memory, batch["attention_mask"])
    return network.project(states[batch["inside"]])


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_of(network, batch), batch["wanted"], label_smoothing=SMOOTHING)


def stage(
    name: str,
    network: Callable[[Path], nn.Module],
    longest: int,
    *,
    rate: float,
    warmup: float,
    epochs: int,
    batch: int,
    average: float,
) -> Stage:
    """Learns the pairs `train` of up to `longest` tokens, in batches of `batch` tokens; the pairs `held` judge it."""
    return Stage(
        name=name,
        network=network,
        batches=lambda work: Pairs.of(work, "train", longest),
        loss=loss,
        score=lambda network, work: score(network, Pairs.of(work, "held", longest)),
        optimiser=AdamW(rate=rate, betas=(0.9, 0.98)),
        schedule=Linear(warmup=warmup),
        epochs=epochs,
        batch=batch,
        clip=1.0,
        average=average,
    )


def score(network: nn.Module, pairs: Pairs) -> dict[str, float]:
    """Part of the target tokens that are guessed right after the true ones before, and their cross-entropy."""
    right = total = 0
    entropy = 0.0
    for indices in pairs.plan(0, 4000, 0):
        batch = pairs.collate(indices, 0.0)
        logits = logits_of(network, batch)
        right += int((logits.argmax(1) == batch["wanted"]).sum())
        entropy += float(functional.cross_entropy(logits, batch["wanted"], reduction="sum"))
        total += len(logits)
    return {"accuracy": right / total, "entropy": entropy / total}
