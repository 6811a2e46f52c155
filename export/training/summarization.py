"""summarization from texts with summaries: a checkpoint fine-tuned, or a Transformer from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from hearth_build.data.parallel_texts import SUMMARY
from hearth_build.evaluations.summarization import mean_rouge
from hearth_build.recipe import Example
from hearth_build.training import encoder_decoders, parallel_texts
from hearth_build.training.bases import SMALL
from hearth_build.training.candidates import Trainer
from hearth_build.training.parallel_texts import PairData, Texts, TextTask


def metrics(data: PairData, examples: Sequence[Example], outputs: Texts) -> dict[str, float]:
    return mean_rouge(examples, outputs)


def baselines(data: PairData, examples: Sequence[Example]) -> dict[str, Texts]:
    """Summaries of other texts, and the beginning of each text in the length of the middle summary."""
    others = [str(example.expected) for example in data.split.train]
    length = int(np.median(list(map(len, others))))
    return {
        "summaries of other texts": [others[number % len(others)] for number in range(len(examples))],
        "the beginning of the text": [example.inputs[:length] for example in examples],
    }


TASK = TextTask(
    roles=SUMMARY,
    noun="summarization",
    metrics=metrics,
    baselines=baselines,
    tokens=(512, 150),
    cuts=True,
    loss_of_quantization=0.01,
)
TRAINER = Trainer(
    partial(parallel_texts.read, task=TASK),
    partial(encoder_decoders.candidates, task=TASK),
    lambda data: SMALL,
    parallel_texts.require_learning,
)
