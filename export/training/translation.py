"""translation from pairs of texts: a Transformer from scratch, or a checkpoint fine-tuned."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from hearth_build.data.parallel_texts import TRANSLATION
from hearth_build.evaluations.translation import bleu_and_chrf
from hearth_build.recipe import Example
from hearth_build.training import encoder_decoders, parallel_texts
from hearth_build.training.bases import SMALL
from hearth_build.training.candidates import Trainer
from hearth_build.training.parallel_texts import PairData, Texts, TextTask

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])\w)+|[^\w\s]")
"""A word, a Chinese or Japanese character, or a punctuation mark."""
DICTIONARY_PAIRS = 30_000
LONGEST = 60
"""Words of the longest text that the dictionary is learnt from."""


def metrics(data: PairData, examples: Sequence[Example], outputs: Texts) -> dict[str, float]:
    return bleu_and_chrf(data.languages[1], examples, outputs)


def baselines(data: PairData, examples: Sequence[Example]) -> dict[str, Texts]:
    words = dictionary([(example.inputs, str(example.expected)) for example in data.split.train[:DICTIONARY_PAIRS]])
    word_for_word = [
        " ".join(words.get(word, word) for word in WORD.findall(example.inputs.lower())) for example in examples
    ]
    return {"the source itself": [example.inputs for example in examples], "word for word": word_for_word}


def dictionary(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """For each word of the sources the word of the targets that occurs with it most exclusively (Dice)."""
    counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    together: dict[str, Counter[str]] = {}
    for pair in pairs:
        first, second = (set(WORD.findall(text.lower())) for text in pair)
        if max(len(first), len(second)) > LONGEST:
            continue
        counts[0].update(first)
        counts[1].update(second)
        for word in first:
            together.setdefault(word, Counter()).update(second)
    return {
        word: max(others, key=lambda other: (2 * others[other] / (counts[0][word] + counts[1][other]), other))
        for word, others in together.items()
        if others
    }


TASK = TextTask(
    roles=TRANSLATION,
    noun="translation",
    metrics=metrics,
    baselines=baselines,
    tokens=(200, 200),
    cuts=False,
    loss_of_quantization=0.5,
)
TRAINER = Trainer(
    partial(parallel_texts.read, task=TASK),
    partial(encoder_decoders.candidates, task=TASK),
    lambda data: SMALL,
    parallel_texts.require_learning,
)
