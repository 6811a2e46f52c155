"""token-classification from texts with entities: an encoder with a label per token, or convolutions over characters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor, nn
from torch.nn import functional

from hearth.models.heads import Tagging
from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth.ops.text.entities import get_tag
from hearth_build.data import entities
from hearth_build.data.datasets import DataError
from hearth_build.data.entities import Span
from hearth_build.data.report import MIN_EXAMPLES, DataReport, describe_split, describe_texts, language_of
from hearth_build.data.split import duplicate_texts, split
from hearth_build.data.tagged_texts import IGNORE_INDEX, TaggedTexts, character_tokenizer, predict_labels
from hearth_build.evaluations.token_classification import entity_metrics
from hearth_build.importing.text_tasks import TEXTS
from hearth_build.networks.character_tagger import Tagger
from hearth_build.networks.text_heads import TokenClassifier
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Batch, DynamicInt8, Example, Gate, OneCycle, Recipe, RecipeError, Stage
from hearth_build.training import bases, fine_tuning
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import cell, data_section
from hearth_build.training.distillation import soft_classes
from hearth_build.training.encoders import AXES, TEXT, open_encoder
from hearth_build.training.fine_tuning import Preset, Training

MAX_TOKENS = 128
"""Longest window of training and of the served model; longer texts are read in windows that share STRIDE tokens."""
STRIDE = 32
OUTSIDE = "O"
LISTED = 10
PRESETS = {
    "encoder": Preset(epochs=5, learning_rate=1e-4, batch_size=16),
    "characters": Preset(epochs=12, learning_rate=2e-3, batch_size=48, schedule=OneCycle(warmup=0.25)),
}
Rows = list[tuple[Encoding, list[int]]]
"""Windows of texts with the number of the label of each token."""


@dataclass(frozen=True)
class TaggedData(Data):
    tags: tuple[str, ...] = (OUTSIDE,)
    """O, then B- and I- of each entity type."""


def read(session: Session) -> TaggedData:
    """Read, check and split the texts. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples, test = usable(plan.data), usable(plan.test) if plan.test else []
    types = count_types(examples)
    listed = ", ".join(f"{name} {count:,}" for name, count in sorted(types.items(), key=lambda item: -item[1])[:20])
    empty = sum(not example.expected for example in examples)
    report.facts.append(f"{len(examples):,} texts, {empty:,} of them without entities; entities: {listed}")
    describe_texts(report, examples)
    duplicates = duplicate_texts([example.inputs for example in [*examples, *test]])
    count = len(examples)
    own_test = (test, duplicates.clusters[count:]) if test else None
    parts = split(examples, duplicates.clusters[:count], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    seen = count_types(parts.train)
    tags = (OUTSIDE, *(f"{prefix}-{name}" for name in sorted(seen) for prefix in "BI"))
    if unseen := sorted(set(count_types([*parts.validation, *parts.test])) - set(seen)):
        report.warnings.append(f"entities without training examples cannot be learnt: {', '.join(unseen)}")
    language = language_of(example.inputs for example in examples[:2000])
    return TaggedData(parts, tuple(sorted(seen)), report, language, tags=tags)


def usable(path: str) -> list[Example]:
    examples = [example for example in entities.read(Path(path)) if example.inputs.strip()]
    if len(examples) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(examples)} texts. At least {MIN_EXAMPLES} are needed to train and to measure; some "
            "hundreds of entities of each type give good models."
        )
    if not count_types(examples):
        raise DataError(f"None of the {len(examples)} texts of {path} has an entity: there is nothing to learn.")
    return examples


def count_types(examples: Sequence[Example]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for example in examples:
        for _, _, name in example.expected:
            counts[name] = counts.get(name, 0) + 1
    return counts


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


def candidates(session: Session, data: TaggedData) -> list[Candidate]:
    """A dictionary to compare with, and one network: an encoder if there is one for the language."""
    return [dictionary(data), encoder(session, data) if session.plan.base else characters(session, data)]


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    if chosen.score <= 0:
        raise RecipeError(
            "The network finds no entity of the validation texts: add examples, or give it more --minutes."
        )


def dictionary(data: TaggedData) -> Candidate:
    """Marks the words that were entities in training."""
    names: dict[str, str] = {}
    for example in data.split.train:
        for start, end, name in example.expected:
            names[example.inputs[start:end]] = name
    longest = max((len(name) for name in names), default=0)
    predicted = [lookup(example.inputs, names, longest) for example in data.split.validation]
    metrics = entity_metrics([example.expected for example in data.split.validation], predicted)
    return Candidate("dictionary of the training entities", metrics["F1"])


def lookup(text: str, names: dict[str, str], longest: int) -> list[Span]:
    """The longest entities that begin at each word of a text."""
    spans: list[Span] = []
    start = 0
    while start < len(text):
        last = None
        is_start = start == 0 or not text[start - 1].isalnum() or entities.is_cjk(text[start])
        for end in range(min(len(text), start + longest), start, -1) if is_start else ():
            if text[start:end] in names and (end == len(text) or not text[end].isalnum() or entities.is_cjk(text[end])):
                last = end
                break
        if last:
            spans.append([start, last, names[text[start:last]]])
        start = last or start + 1
    return spans


def windows_of(tokenizer: Tokenizer, examples: Sequence[Example], tags: Sequence[str]) -> list[Rows]:
    """The windows of each text with the labels of their tokens; special tokens are ignored by the loss."""
    numbers = {tag: number for number, tag in enumerate(tags)}
    results = []
    for example in examples:
        whole = tokenizer.encode(example.inputs)
        rows: Rows = []
        for window in [whole, *whole.overflowing]:
            labels, opened = [], None
            for (start, end), special in zip(window.offsets, window.special_tokens_mask, strict=True):
                span = next((span for span in example.expected if start < span[1] and end > span[0]), None)
                if special or start == end:
                    labels.append(IGNORE_INDEX)
                    continue
                prefix = "I" if span is not None and span is opened else "B"
                labels.append(numbers.get(f"{prefix}-{span[2]}", 0) if span else 0)
                opened = span
            rows.append((window, labels))
        results.append(rows)
    return results


def spans_of(text: str, rows: Rows, predicted: Sequence[Sequence[int]], tags: Sequence[str]) -> list[Span]:
    """The entities of a text from the labels of its tokens, as the runtime groups them and strips them of spaces."""
    spans: list[Span] = []
    for (window, _), labels in zip(rows, predicted, strict=True):
        previous = OUTSIDE
        for (start, end), special, number in zip(window.offsets, window.special_tokens_mask, labels, strict=True):
            if special:
                continue
            begins, name = get_tag(tags[number])
            if name != OUTSIDE and name == previous and not begins:
                spans[-1][1] = end
            elif name != OUTSIDE:
                spans.append([start, end, name])
            previous = name
    for span in spans:
        name = text[span[0] : span[1]]
        span[:2] = span[0] + len(name) - len(name.lstrip()), span[1] - len(name) + len(name.rstrip())
    return spans


def encoder(session: Session, data: TaggedData) -> Candidate:
    checkpoint = open_encoder(session.plan.base)

    def network(work: Path) -> nn.Module:
        return TokenClassifier(checkpoint.load(), checkpoint.hidden, len(data.tags))

    served = {
        "graphs": {"main": checkpoint.graph(per_token=True)},
        "preprocessing": checkpoint.preprocessing(min(MAX_TOKENS, checkpoint.max_tokens)),
    }
    return fit(session, data, "encoder", session.title("encoder"), checkpoint.tokenizer, network, served)


def characters(session: Session, data: TaggedData) -> Candidate:
    tokenizer = character_tokenizer([example.inputs for example in data.split.train])

    def network(work: Path) -> nn.Module:
        return Tagger(len(data.tags), tokenizer.get_vocab_size())

    served = {
        "graphs": {
            "main": traced(
                lambda: {name: torch.ones(2, 8, dtype=torch.int64) for name in TEXT},
                dict.fromkeys((*TEXT, "logits"), AXES),
            )
        },
        "preprocessing": TextPreprocessing(tokenizer="tokenizer.json", max_tokens=MAX_TOKENS),
    }
    return fit(session, data, "characters", "convolutions over characters", tokenizer, network, served)


def fit(
    session: Session,
    data: TaggedData,
    kind: str,
    name: str,
    tokenizer: Tokenizer,
    network: Callable[[Path], nn.Module],
    served: dict[str, Any],
) -> Candidate:
    """Train a network; `served` are the fields of the recipe that depend on it."""
    tokenizer.enable_truncation(served["preprocessing"].max_tokens)
    training, validation = (
        windows_of(tokenizer, part, data.tags) for part in (data.split.train, data.split.validation)
    )
    flat = [row for rows in training for row in rows if row[0].ids]
    pad_id = served["preprocessing"].pad_id
    batches = TaggedTexts([window.ids for window, _ in flat], {}, [labels for _, labels in flat], pad_id=pad_id)
    expected = [example.expected for example in data.split.validation]

    def loss(network: nn.Module, batch: Batch) -> Tensor:
        logits = network(batch["input_ids"], batch["attention_mask"])
        return functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORE_INDEX)

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        predicted = iter(predict_labels(network, [window.ids for rows in validation for window, _ in rows]))
        spans = [
            spans_of(example.inputs, rows, [next(predicted) for _ in rows], data.tags)
            for example, rows in zip(data.split.validation, validation, strict=True)
        ]
        return entity_metrics(expected, spans)

    preset = PRESETS[kind]
    preset = replace(preset, batch_size=min(preset.batch_size, max(4, len(flat) // 16)))  # few examples, more steps
    stage = fine_tuning.fit(
        session,
        Training(
            preset,
            network=network,
            batches=batches,
            loss=loss,
            score=score,
            name="fine-tuning" if session.plan.base else "training",
        ),
        soft=soft_classes,
    )
    tokenizer.no_truncation()
    base = session.plan.base
    kind = f"{bases.title(base)}, {session.method}" if base else f"{name}, trained from scratch"
    recipe = partial(recipe_of, session, data, tokenizer, stage, kind, served)
    return Candidate(name, fine_tuning.best_score(session, stage), recipe)


def recipe_of(
    session: Session, data: TaggedData, tokenizer: Tokenizer, stage: Stage, kind: str, served: dict[str, Any]
) -> Recipe:
    tolerance = max(0.01, 5 / max(sum(count_types(data.split.validation).values()), 1))
    return session.recipe(
        data,
        description=f"Finds {', '.join(data.labels[:8])} in texts: {kind}.",
        labels=data.tags,
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        stages=(stage,),
        report=sections(data),
        golden=lambda: TEXTS,
        head=Tagging(stride=STRIDE),
        quantization=session.quantization(DynamicInt8()),
        gate=Gate(metric=0.0, quantization_loss=tolerance, bytes=2**31, difference=0.8),
        limits=Limits(batch=64, characters=20_000),
        limitations=("The best epoch was chosen by the validation examples.",),
        **served,
    )


def sections(data: TaggedData) -> Callable[[Path, Sequence[Example], Sequence[Any]], Sequence[str]]:
    def report(work: Path, examples: Sequence[Example], outputs: Sequence[list[Span]]) -> Sequence[str]:
        rows = []
        for name in data.labels:
            truth, predicted = (
                [[span for span in spans if span[2] == name] for spans in part]
                for part in ([example.expected for example in examples], outputs)
            )
            metrics = entity_metrics(truth, predicted)
            cells = " | ".join(f"{metrics[key]:.3f}" for key in ("F1", "precision", "recall"))
            rows.append(f"| {cell(name)} | {sum(map(len, truth))} | {cells} |")
        table = ["| entity | in the test data | F1 | precision | recall |", "|---|---:|---:|---:|---:|", *rows]
        return ["## Test data by entity", "\n".join(table), *data_section(data)]

    return report


TRAINER = Trainer(read, candidates, default_base, require_learning, can_be_small=True)
