"""Candidates of the tasks that write texts: a Transformer from scratch, or a checkpoint as it is and fine-tuned.

A checkpoint is a T5, BART, Pegasus or Marian as transformers saves it; `hearth import` makes its graphs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Seq2Seq
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data import sentencepiece
from hearth_build.data.text import pad, tokenize
from hearth_build.data.translation import LABEL_SMOOTHING, Pairs
from hearth_build.importing import encoder_decoders
from hearth_build.importing.base import ImportOptions
from hearth_build.importing.source import Source
from hearth_build.importing.text_tokenizer import read_tokenizer
from hearth_build.importing.transformers_models import load_model
from hearth_build.recipe import Batch, Example, Recipe, RecipeError
from hearth_build.training import bases, fine_tuning, transformer
from hearth_build.training.candidates import Candidate, Session
from hearth_build.training.fine_tuning import Preset, Training
from hearth_build.training.parallel_texts import PairData, TextTask, recipe_fields

LEARNING_RATES = {"t5": 3e-4, "mt5": 5e-4}
"""By `model_type`; T5 is trained at higher rates than others."""
LEARNING_RATE = 5e-5
MAX_EPOCHS = 6
BATCH_TOKENS = 600
MAX_TOKENS = 200
"""Largest number of tokens that are learnt to be written for a text."""


def candidates(session: Session, data: PairData, task: TextTask) -> list[Candidate]:
    baselines = task.baseline_candidates(data)
    if session.plan.base in bases.SCRATCH:
        return [*baselines, transformer.candidate(session, data, task)]
    return [*baselines, *fine_tuned(session, data, task)]


def fine_tuned(session: Session, data: PairData, task: TextTask) -> list[Candidate]:
    source = bases.source(session.plan.base)
    options = ImportOptions(task=session.plan.task, name=session.plan.name)
    if not encoder_decoders.accepts(source, options):
        raise RecipeError(
            f"--from {session.plan.base} is no encoder-decoder of texts. {session.plan.task} starts from a T5, BART, "
            f"Pegasus or Marian as transformers saves it, or from {' or '.join(bases.SCRATCH)}."
        )
    imported = encoder_decoders.read(source, options).recipe
    head, preprocessing = imported.head, imported.preprocessing
    assert isinstance(head, Seq2Seq)
    assert isinstance(preprocessing, TextPreprocessing)
    if head.language_ids:
        raise RecipeError(f"{source.title} translates between many languages; training it further is not supported.")
    tokenizers = tokenizers_of(source)
    limits = preprocessing.max_tokens, min(head.max_new, MAX_TOKENS)
    parts = [rows(tokenizers, head, part, limits) for part in (data.split.train, data.measured)]

    def network(work: Any) -> nn.Module:
        return load_model(source)

    def score(network: nn.Module, work: Any) -> dict[str, float]:
        return {"accuracy": accuracy(network, parts[1])}

    def measure(network: nn.Module) -> float:
        ids = write(network, parts[1].sources, preprocessing.pad_id, limits[1])
        return task.score(data, tokenizers[0].decode_batch(ids))

    def finished(kind: str, **fields: Any) -> Recipe:
        return session.recipe(
            data,
            **recipe_fields(session, data, task),
            description=f"{task.noun.capitalize()} by {bases.title(session.plan.base)}, {kind}.",
            prepare=imported.prepare,
            inputs=imported.inputs,
            graphs=imported.graphs,
            reference_model=imported.reference_model,
            preprocessing=preprocessing,
            head=head,
            limits=imported.limits,
            limitations=(f"A text has {limits[0]} tokens at most, and what is written {limits[1]}.",),
            **fields,
        )

    unchanged = Candidate(
        "the checkpoint as it is", measure(network(None)), partial(finished, "as it is", network=imported.network)
    )
    preset = Preset(MAX_EPOCHS, LEARNING_RATES.get(source.model_type, LEARNING_RATE), BATCH_TOKENS)
    stage = fine_tuning.fit(session, Training(preset, network=network, batches=parts[0], loss=loss, score=score))
    tuned = measure(fine_tuning.trained(session, stage))
    return [unchanged, Candidate("fine-tuned checkpoint", tuned, partial(finished, "fine-tuned", stages=(stage,)))]


def tokenizers_of(source: Source) -> tuple[Tokenizer, Tokenizer]:
    """The tokenizers of what is read and of what is learnt to be written; they differ for Marian alone."""
    tokenizer = read_tokenizer(source).tokenizer
    if (source.folder / "target.spm").is_file() and not (source.folder / "tokenizer.json").is_file():
        return tokenizer, sentencepiece.build_tokenizer(source.folder, pieces_file="target.spm")
    return tokenizer, tokenizer


def rows(
    tokenizers: tuple[Tokenizer, Tokenizer], head: Seq2Seq, examples: Sequence[Example], limits: tuple[int, int]
) -> Pairs:
    sources = tokenize(tokenizers[0], [head.prefix + example.inputs for example in examples], limits[0])
    targets = tokenize(tokenizers[1], [str(example.expected) for example in examples], limits[1])
    return Pairs(sources, targets, head.start)


def logits_of(network: nn.Module, batch: Batch) -> Tensor:
    """Logits (target tokens, vocabulary)."""
    fields = {name: batch[name] for name in ("input_ids", "attention_mask", "decoder_input_ids")}
    logits: Tensor = network(**fields).logits[batch["target_mask"]]
    return logits


def loss(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(logits_of(network, batch), batch["labels"], label_smoothing=LABEL_SMOOTHING)


def accuracy(network: nn.Module, pairs: Pairs) -> float:
    """The share of target tokens that are right, given the true tokens before them."""
    correct = total = 0
    for indices in pairs.plan(0, BATCH_TOKENS, 0):
        batch = pairs.collate(indices, 0.0)
        correct += int((logits_of(network, batch).argmax(1) == batch["labels"]).sum())
        total += len(batch["labels"])
    return correct / total


@torch.no_grad()
def write(network: Any, sources: Sequence[Sequence[int]], pad_id: int, longest: int, size: int = 16) -> list[list[int]]:
    """What transformers' `generate` writes without beams, for each row of tokens."""
    network.eval()
    outputs: list[list[int]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        batch = pad([sources[index] for index in indices])
        batch["input_ids"] = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, pad_id)
        generated = network.generate(**batch, num_beams=1, do_sample=False, max_new_tokens=longest)
        for index, row in zip(indices, generated.tolist(), strict=True):
            outputs[index] = row
    return outputs
