"""text-classification from labelled texts: n-grams, sentence embeddings, and fine-tuning of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from hearth.models.manifest import Limits
from hearth.models.preprocessing import TextPreprocessing
from hearth_build.data import labelled_texts
from hearth_build.data.datasets import DataError
from hearth_build.data.files import IMAGES
from hearth_build.data.report import DataReport, describe_beginnings, describe_texts, language_of, usable_labels
from hearth_build.data.split import duplicate_texts
from hearth_build.data.text import Texts, logits_of, pad, tokenize
from hearth_build.importing.text_tasks import TEXTS
from hearth_build.networks.text_classifiers import HashedNgrams
from hearth_build.networks.text_heads import TextClassifier
from hearth_build.onnx_export.export import traced
from hearth_build.recipe import Batch, DynamicInt8, Example, Recipe, Stage
from hearth_build.training import bases, linear
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import (
    gate,
    linear_problem,
    loss_of,
    majority,
    make_data,
    require_learning,
    scale,
    score_of,
    sections,
    targets_of,
    temperature,
)
from hearth_build.training.distillation import soft_classes, soft_labels
from hearth_build.training.encoders import AXES, TEXT, open_encoder
from hearth_build.training.fine_tuning import Preset, Training, fit, trained

MAX_TOKENS = 256
"""Longest text of a fine-tuned encoder; shorter if 99 % of the texts are."""
PRESET = Preset(epochs=3, learning_rate=1e-4, batch_size=32, average=0.995)
"""Of an encoder whose vectors have WIDTH numbers. On SST-2, the average was better than the last weights after each of
four trainings, by 0.003 to 0.012; and three epochs of this learning rate were better than four of half of it, once, by
0.005 of 1,563 sentences."""
WIDTH = 384
LARGEST_EMBEDDED = 20_000
"""Texts whose vectors are computed for the linear model of embeddings."""
GOLDEN = TEXTS


def read(session: Session) -> Data:
    """Read, check and split the texts. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report)
    test = usable(plan.test, plan.columns, report) if plan.test else []
    describe_texts(report, examples)
    describe_beginnings(report, examples)
    data = make_data(
        session, examples, test, duplicate_texts([example.inputs for example in [*examples, *test]]), report
    )
    return replace(data, language=language_of(example.inputs for example in examples[:2000]))


def usable(path: str, columns: dict[str, str], report: DataReport) -> list[Example]:
    if labelled_texts.is_folder(Path(path)):
        examples = labelled_texts.read(Path(path))
    else:
        table = labelled_texts.labelled_table(Path(path), columns)
        examples = labelled_texts.examples_of(table)
        report.facts.append(table.sentence())
    names = [Path(example.inputs[-260:]).suffix.lower() in IMAGES for example in examples]
    if names and all(names):
        raise DataError(f"The texts of {path} are names of images. Train image-classification on it.")
    return usable_labels(examples, report, path, "texts")


def default_base(data: Data) -> str:
    return bases.MINILM if data.language == "English" else ""


def candidates(session: Session, data: Data) -> list[Candidate]:
    """Fit what can be served, the simplest first."""
    results = [majority(data), ngrams(session, data)]
    if session.plan.base:
        results += encoders(session, data)
    return results


def ngrams(session: Session, data: Data) -> Candidate:
    parts, labels = data.split, len(data.labels)
    tokenizer = linear.train_tokenizer([example.inputs for example in parts.train])
    network = HashedNgrams(linear.buckets_for(labels), labels, linear.LENGTH)
    rows = partial(rows_of, tokenizer, max_tokens=linear.MAX_TOKENS)
    validation = linear.ngram_features(network, rows(parts.validation))
    problem = linear_problem(session, data, linear.ngram_features(network, rows(parts.train)), validation)
    fitted = linear.fit(problem)
    factor = temperature(fitted.logits(validation), targets_of(data, parts.validation))
    with torch.no_grad():
        network.weights.weight.copy_(torch.from_numpy(fitted.weights.T / factor))
        network.bias.copy_(torch.from_numpy(fitted.bias / factor))
    recipe = partial(
        recipe_of,
        session,
        data,
        tokenizer,
        network,
        "a linear model of hashed n-grams",
        graphs={
            "main": traced(
                lambda: {name: torch.ones(2, 8, dtype=torch.int64) for name in TEXT}, dict.fromkeys(TEXT, AXES)
            )
        },
        preprocessing=TextPreprocessing(tokenizer="tokenizer.json", max_tokens=linear.MAX_TOKENS),
        parents=(),
    )
    return Candidate("n-grams, logistic regression", fitted.score, recipe, linear.learning_curve(problem, fitted))


def rows_of(tokenizer: Tokenizer, examples: Sequence[Example], max_tokens: int) -> list[list[int]]:
    rows = tokenize(tokenizer, [example.inputs for example in examples], max_tokens)
    return [row or [0] for row in rows]


def encoders(session: Session, data: Data) -> list[Candidate]:
    """A linear model of the encoder's vectors, and the encoder fine-tuned from there."""
    checkpoint = open_encoder(session.plan.base)
    tokenizer, pad_id = checkpoint.tokenizer, checkpoint.pad_id
    lengths = [len(row) for row in rows_of(tokenizer, data.split.train, checkpoint.max_tokens)]
    max_tokens = int(min(checkpoint.max_tokens, MAX_TOKENS, max(16, np.percentile(lengths, 99) + 1)))
    rows = {name: rows_of(tokenizer, getattr(data.split, name), max_tokens) for name in ("train", "validation")}

    def start() -> TextClassifier:
        return TextClassifier(checkpoint.load(), checkpoint.hidden, len(data.labels))

    torch.manual_seed(session.plan.seed)
    embedded = start()
    score, curve = fit_head(embedded, session, data, rows, pad_id)
    details = bases.title(session.plan.base)
    finished = partial(
        recipe_of,
        session,
        data,
        tokenizer,
        graphs={"main": checkpoint.graph()},
        preprocessing=checkpoint.preprocessing(max_tokens),
        parents=(details,),
    )
    of_vectors = partial(finished, embedded, f"a linear model of the vectors of {details}")
    results = [
        Candidate(
            "embeddings, logistic regression",
            score,
            None if session.is_small else of_vectors,
            curve,
            is_larger=session.is_small,
        )
    ]
    head = {name: value.clone() for name, value in embedded.state_dict().items() if name.startswith("classifier.")}

    def network(work: Path) -> nn.Module:
        network = start()
        network.load_state_dict(head, strict=False)
        return network

    # Adam's steps have the same size in every layer, so a wider one changes more: see Yang et al. 2022.
    preset = replace(PRESET, learning_rate=PRESET.learning_rate * WIDTH / checkpoint.hidden)
    stage = fine_tuning(session, preset, data, rows, pad_id, network)
    tuned = trained(session, stage)
    assert isinstance(tuned, TextClassifier)
    logits = logits_of(tuned, rows["validation"], pad_id=pad_id).numpy()
    tuned_score = score_of(data, data.split.validation)(logits)
    scale(tuned.classifier, temperature(logits, targets_of(data, data.split.validation)))
    recipe = partial(finished, tuned, f"{details}, {session.method}", stages=(stage,))
    return [*results, Candidate(session.title("encoder"), tuned_score, recipe)]


def fit_head(
    network: TextClassifier, session: Session, data: Data, rows: dict[str, list[list[int]]], pad_id: int
) -> tuple[float, str]:
    """Fit the classifier on the vectors of the encoder, which does not change; returns the validation score and the
    learning curve."""
    chosen = np.random.default_rng(session.plan.seed).permutation(len(rows["train"]))[:LARGEST_EMBEDDED]
    training = vectors(network, [rows["train"][index] for index in chosen], pad_id)
    validation = vectors(network, rows["validation"], pad_id)
    problem = linear_problem(session, data, training, validation, [data.split.train[index] for index in chosen])
    fitted = linear.fit(problem)
    factor = temperature(fitted.logits(validation), targets_of(data, data.split.validation))
    with torch.no_grad():
        network.classifier.weight.copy_(torch.from_numpy(fitted.weights / factor))
        network.classifier.bias.copy_(torch.from_numpy(fitted.bias / factor))
    return fitted.score, linear.learning_curve(problem, fitted)


def vectors(network: TextClassifier, rows: Sequence[Sequence[int]], pad_id: int, size: int = 64) -> np.ndarray:
    """The encoder's vector of each text, (texts, hidden)."""
    network.eval()
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    results = np.zeros((len(rows), network.classifier.in_features), np.float32)
    with torch.no_grad():
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            results[batch] = network.embed(**pad([rows[index] for index in batch], pad_id)).numpy()
    return results


def fine_tuning(
    session: Session,
    preset: Preset,
    data: Data,
    rows: dict[str, list[list[int]]],
    pad_id: int,
    network: Callable[[Path], nn.Module],
) -> Stage:
    targets = torch.from_numpy(targets_of(data, data.split.train))
    loss, measure = loss_of(data), score_of(data, data.split.validation)
    batches = Texts(rows["train"], {"labels": targets}, pad_id=pad_id)

    def batch_loss(network: nn.Module, batch: Batch) -> Tensor:
        return loss(network(batch["input_ids"], batch["attention_mask"]), batch["labels"])

    def score(network: nn.Module, work: Path) -> dict[str, float]:
        return {data.metric or "accuracy": measure(logits_of(network, rows["validation"], pad_id=pad_id).numpy())}

    soft = soft_labels if data.several else soft_classes
    return fit(session, Training(preset, network=network, batches=batches, loss=batch_loss, score=score), soft=soft)


def recipe_of(
    session: Session,
    data: Data,
    tokenizer: Tokenizer,
    network: nn.Module,
    kind: str,
    *,
    preprocessing: TextPreprocessing,
    **fields: Any,
) -> Recipe:
    labels = ", ".join(data.labels[:5]) + (", …" if len(data.labels) > 5 else "")
    return session.recipe(
        data,
        description=f"Classifies texts as {labels}: {kind}.",
        prepare=lambda work: tokenizer.save(str(work / "tokenizer.json"), pretty=False),
        network=lambda work: network,
        report=sections(data),
        golden=lambda: GOLDEN,
        preprocessing=preprocessing,
        quantization=session.quantization(DynamicInt8()),
        gate=gate(data),
        activation="sigmoid" if data.several else "softmax",
        limits=Limits(batch=64, characters=20_000),
        limitations=(
            "Every text gets one of the labels, also one that belongs to none of them.",
            f"Texts are cut after {preprocessing.max_tokens} tokens.",
            "The candidate and the best epoch were chosen by the validation examples.",
        ),
        **fields,
    )


TRAINER = Trainer(read, candidates, default_base, require_learning, can_be_small=True)
