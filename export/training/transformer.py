"""An encoder-decoder that starts from nothing: its tokenizer, its size, its training, and its recipe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data.parallel_texts import has_han
from hearth_build.data.report import LISTED
from hearth_build.data.text import pad, tokenize
from hearth_build.data.translation import EOS_ID, PAD_ID, Pairs, joint_bpe, loss, score
from hearth_build.networks.marian import Marian, Shape
from hearth_build.onnx_export.seq2seq_graphs import Seq2SeqReference, graphs, head
from hearth_build.recipe import Example, OneCycle, Recipe, Stage
from hearth_build.training import fine_tuning
from hearth_build.training.candidates import Candidate, Session
from hearth_build.training.fine_tuning import Preset, Training
from hearth_build.training.parallel_texts import PairData, TextTask, recipe_fields

SIZE: dict[str, Any] = {"hidden": 192, "encoder_layers": 3, "decoder_layers": 3, "heads": 4, "intermediate": 512}
VOCABULARY = 4000
"""Tokens of a vocabulary; twice as many if Chinese characters are among them."""
DROPOUT = 0.15
LEARNING_RATE = 2e-3
FEW_STEPS = 2000
"""Steps below which the learning rate is halved and rises for longer: a high one would not come back from its errors.
"""
BATCH_TOKENS = 1500
"""Tokens to write in a batch."""
BEAMS = 5
PAIRS_SEEN = 600_000
"""Pairs after which a training ends, if the time lasts: 24 epochs of 25,000 pairs."""
EPOCHS = (8, 80)
"""Smallest and largest of these numbers of epochs."""


def candidate(session: Session, data: PairData, task: TextTask) -> Candidate:
    """Train on the pairs, and write the validation texts."""
    tokenizer = train_tokenizer(data)
    pairs, limits = rows_of(data, task, tokenizer)
    validation = rows(tokenizer, data.split.validation, limits)
    shape = Shape(
        vocabulary=tokenizer.get_vocab_size(),
        positions=max(limits) + 8,
        pad=PAD_ID,
        dropout=DROPOUT,
        **SIZE,
    )

    batch_size = min(BATCH_TOKENS, max(200, sum(map(len, pairs.targets)) // 20))  # a few pairs need more steps
    least, most = EPOCHS
    epochs = max(least, min(most, PAIRS_SEEN // len(pairs.sources)))
    is_short = epochs * len(pairs.plan(0, batch_size, 0)) < FEW_STEPS
    stage = fine_tuning.fit(
        session,
        Training(
            Preset(
                epochs=epochs,
                learning_rate=LEARNING_RATE / 2 if is_short else LEARNING_RATE,
                batch_size=batch_size,
                schedule=OneCycle(warmup=0.2 if is_short else 0.1),
                average=0.99,
            ),
            network=lambda work: Marian(shape),
            batches=pairs,
            loss=loss,
            score=lambda network, work: score(network, validation),
            name="training",
        ),
    )
    network = fine_tuning.trained(session, stage)
    assert isinstance(network, Marian)
    measured = tokenize(tokenizer, [example.inputs for example in data.measured], limits[0])
    metric = task.score(data, tokenizer.decode_batch(write(network, measured, limits[1])))
    recipe = partial(recipe_of, session, data, task, tokenizer, shape, limits, stage)
    return Candidate("Transformer from scratch", metric, recipe)


def train_tokenizer(data: PairData) -> Tokenizer:
    """One byte-pair encoding of both sides, which keeps upper and lower case."""
    sides = [[example.inputs, str(example.expected)] for example in data.split.train]
    characters = any(has_han(text) for side in sides[:200] for text in side)
    texts = (text for side in sides for text in side)
    vocabulary = VOCABULARY * (2 if characters else 1)
    return joint_bpe(texts, vocabulary, lowercase=False, characters=characters)


def rows_of(data: PairData, task: TextTask, tokenizer: Tokenizer) -> tuple[Pairs, tuple[int, int]]:
    """The training pairs as tokens, without too long ones, and the largest numbers of tokens of both sides."""
    sources = tokenize(tokenizer, [example.inputs for example in data.split.train], 10**9)
    targets = tokenize(tokenizer, [str(example.expected) for example in data.split.train], 10**9)
    longest = [min(most, max(map(len, side))) for most, side in zip(task.tokens, (sources, targets), strict=True)]
    if task.cuts:
        sources = [row if len(row) <= longest[0] else [*row[: longest[0] - 1], EOS_ID] for row in sources]
    kept = [
        index
        for index, (source, target) in enumerate(zip(sources, targets, strict=True))
        if len(source) <= longest[0] and len(target) <= longest[1]
    ]
    if len(kept) < len(sources):
        dropped = sorted(set(range(len(sources))) - set(kept))
        names = ", ".join(data.split.train[index].name for index in dropped[:LISTED])
        data.report.warnings.append(
            f"{len(dropped):,} pairs are longer than {' and '.join(map(str, longest))} tokens: not learnt from ({names}"
            f"{', …' if len(dropped) > LISTED else ''})"
        )
    return Pairs([sources[index] for index in kept], [targets[index] for index in kept]), (longest[0], longest[1])


def rows(tokenizer: Tokenizer, examples: Sequence[Example], limits: tuple[int, int]) -> Pairs:
    """Pairs as tokens, cut to their limits."""
    return Pairs(
        tokenize(tokenizer, [example.inputs for example in examples], limits[0]),
        tokenize(tokenizer, [str(example.expected) for example in examples], limits[1]),
    )


@torch.no_grad()
def write(network: Marian, sources: Sequence[Sequence[int]], longest: int, size: int = 64) -> list[list[int]]:
    """The likeliest tokens one after another, without beams, for each row of tokens."""
    network.eval()
    outputs: list[list[int]] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    for start in range(0, len(order), size):
        indices = order[start : start + size]
        batch = pad([sources[index] for index in indices])
        memory = network.encode(**batch)
        tokens = torch.full((len(indices), 1), PAD_ID)
        finished = torch.zeros(len(indices), dtype=torch.bool)
        for _ in range(longest):
            logits = network.project(network.decode(tokens, memory, batch["attention_mask"])[:, -1])
            logits[:, PAD_ID] = float("-inf")
            chosen = logits.argmax(1).masked_fill(finished, EOS_ID)
            tokens = torch.cat([tokens, chosen[:, None]], 1)
            finished |= chosen == EOS_ID
            if finished.all():
                break
        for index, row in zip(indices, tokens[:, 1:].tolist(), strict=True):
            outputs[index] = row[: row.index(EOS_ID)] if EOS_ID in row else row
    return outputs


def recipe_of(
    session: Session,
    data: PairData,
    task: TextTask,
    tokenizer: Tokenizer,
    shape: Shape,
    limits: tuple[int, int],
    stage: Stage,
) -> Recipe:
    source, target = ((code,) if code else () for code in data.languages)

    return session.recipe(
        data,
        **recipe_fields(session, data, task),
        limits=Limits(batch=16, characters=20_000),
        parents=(),
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        description=f"{task.noun.capitalize()} by a Transformer of {shape.encoder_layers} + {shape.decoder_layers} "
        f"layers, trained from scratch on {len(data.split.train):,} pairs.",
        stages=(stage,),
        graphs=graphs(shape),
        reference_model=Seq2SeqReference,
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=limits[0]),
        head=head(shape, start=PAD_ID, eos=EOS_ID, max_new=limits[1], beams=BEAMS, source=source, target=target),
        limitations=(
            f"A text has {limits[0]} tokens at most, and what is written {limits[1]}.",
            "It knows only what occurs in its training pairs; other texts get fluent but wrong outputs.",
            "The best epoch was chosen by the validation pairs.",
        ),
    )
