"""Shared by the classifiers of texts and images: labels, scores, calibration, and their sections of the model card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from hearth_build.data.report import DataReport, as_tuple, describe_conflicts, describe_labels, describe_split
from hearth_build.data.split import Duplicates, Split, counts, split
from hearth_build.evaluations.classes import Scores, expected_labels, top_label
from hearth_build.recipe import Example, Gate, RecipeError
from hearth_build.training.candidates import Candidate, Data, Session
from hearth_build.training.linear import Problem, Score

MAX_CONFUSION = 12
"""Labels of the largest confusion matrix in a card."""
DOUBTFUL = "doubtful.tsv"
UNBALANCED = 5
"""How many times as frequent as the rarest label the most frequent one is in unbalanced data."""
LISTED = 10
"""Doubtful examples in a card."""
LOSS_OF_QUANTIZATION = 0.01
"""Largest loss of accuracy on the validation examples for which int8 is served."""
Report = Callable[[Path, Sequence[Example], Sequence[Any]], Sequence[str]]


def make_data(
    session: Session, examples: list[Example], test: list[Example], duplicates: Duplicates, report: DataReport
) -> Data:
    """Split examples, of which the last ones are the user's own `test` examples, and describe them."""
    describe_labels(report, [*examples, *test])
    clusters = duplicates.clusters
    describe_conflicts(report, [*examples, *test], clusters)
    own_test = (test, clusters[len(examples) :]) if test else None
    parts = split(examples, clusters[: len(examples)], session.plan.seed, own_test)
    describe_split(report, parts, duplicates)
    labels = tuple(sorted(counts(parts.train), key=natural))
    if unseen := sorted(set(counts([*parts.validation, *parts.test])) - set(labels)):
        report.warnings.append(f"labels without training examples are left out: {', '.join(unseen)}")
        parts = Split(parts.train, known(parts.validation, labels), known(parts.test, labels), parts.notes)
    several = any(isinstance(example.expected, tuple) for example in examples)
    frequencies = counts(parts.train).values()
    if several or max(frequencies) < UNBALANCED * min(frequencies):
        return Data(parts, labels, report, several=several)
    report.facts.append(
        "Rare labels weigh more in training, and candidates are compared by F1, averaged over the labels, because "
        "accuracy says little where one label is frequent"
    )
    return Data(parts, labels, report, metric="F1")


def gate(data: Data) -> Gate:
    """The gate of an artifact: int8 may change a few validation examples, or one in a hundred."""
    loss = max(LOSS_OF_QUANTIZATION, 2.5 / len(data.split.validation))
    return Gate(metric=0.0, quantization_loss=loss, bytes=2**31, difference=0.6)


def known(examples: Sequence[Example], labels: Sequence[str]) -> list[Example]:
    return [example for example in examples if set(as_tuple(example.expected)) <= set(labels)]


def natural(label: str) -> tuple[int, float, str]:
    """Sorts numbers by their value, before texts."""
    try:
        return 0, float(label), label
    except ValueError:
        return 1, 0.0, label


def targets_of(data: Data, examples: Sequence[Example]) -> np.ndarray:
    """Numbers of labels, int64 (examples); with several labels zeros and ones, float32 (examples, labels)."""
    numbers = expected_labels("the model", data.labels, examples)
    if not data.several:
        return np.array([next(iter(labels)) for labels in numbers])
    matrix = np.zeros((len(examples), len(data.labels)), np.float32)
    for row, labels in enumerate(numbers):
        matrix[row, list(labels)] = 1
    return matrix


def score_of(data: Data, examples: Sequence[Example]) -> Score:
    """The metric of logits (examples, labels) by which candidates are compared, as the evaluation computes it."""
    targets = targets_of(data, examples)
    if data.metric == "F1":
        return lambda logits: macro_f1(targets, logits.argmax(1), len(data.labels))
    if data.several:
        return lambda logits: float(((logits > 0) == (targets > 0)).all(1).mean())
    return lambda logits: float((logits.argmax(1) == targets).mean())


def macro_f1(targets: np.ndarray, predicted: np.ndarray, labels: int) -> float:
    """F1 of each label, on average; `targets` and `predicted` are numbers of labels (examples,)."""
    hits = np.bincount(targets[targets == predicted], minlength=labels)
    totals = np.bincount(targets, minlength=labels) + np.bincount(predicted, minlength=labels)
    return float(np.divide(2 * hits, totals, out=np.zeros(labels), where=totals > 0).mean())


def class_weights(data: Data) -> np.ndarray | None:
    """How much each label weighs in training, (labels,) float32; None: all the same. Of a label that is a hundred times
    as rare, an example weighs ten times as much, not a hundred times: there would be too few of them to learn from."""
    if data.metric != "F1":
        return None
    frequencies = np.bincount(targets_of(data, data.split.train), minlength=len(data.labels))
    weights = (frequencies.mean() / frequencies) ** 0.5
    return (weights / np.average(weights, weights=frequencies)).astype(np.float32)  # type: ignore[no-any-return]


def linear_problem(
    session: Session, data: Data, features: Any, validation: Any, examples: Sequence[Example] | None = None
) -> Problem:
    """What a linear model learns from features of the training `examples`, by default all, and of the validation's."""
    return Problem(
        features,
        targets_of(data, data.split.train if examples is None else examples),
        validation,
        score_of(data, data.split.validation),
        len(data.labels),
        several=data.several,
        seed=session.plan.seed,
        weights=class_weights(data),
    )


def loss_of(data: Data) -> Callable[[Tensor, Tensor], Tensor]:
    if data.several:
        return functional.binary_cross_entropy_with_logits
    by_label = class_weights(data)
    weights = None if by_label is None else torch.from_numpy(by_label)
    return lambda logits, targets: functional.cross_entropy(logits, targets, weights, label_smoothing=0.05)


def majority(data: Data) -> Candidate:
    """The most frequent label, or combination of labels, for every input."""
    frequent = counts_of_answers(data.split.train)
    name = f"always {' and '.join(frequent) or 'none'}"
    if data.metric == "F1":
        logits = np.tile(np.array(data.labels) == frequent[0], (len(data.split.validation), 1))
        return Candidate(name, score_of(data, data.split.validation)(logits))
    right = sum(answer(example) == frequent for example in data.split.validation)
    return Candidate(name, right / len(data.split.validation))


def answer(example: Example) -> tuple[str, ...]:
    return tuple(sorted(as_tuple(example.expected)))


def counts_of_answers(examples: Sequence[Example]) -> tuple[str, ...]:
    answers = [answer(example) for example in examples]
    return max(sorted(set(answers)), key=answers.count)


def temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature by which logits are divided to make scores probabilities (Guo et al. 2017)."""
    values, truth = torch.from_numpy(np.asarray(logits, np.float32)), torch.from_numpy(targets)
    loss = functional.cross_entropy if truth.ndim == 1 else functional.binary_cross_entropy_with_logits
    losses = {factor: loss(values / factor, truth).item() for factor in np.geomspace(0.2, 8, 75).tolist()}
    return min(losses, key=lambda factor: losses[factor])


def scale(last: torch.nn.Linear, factor: float) -> None:
    """Divide the logits of a layer by a temperature."""
    with torch.no_grad():
        last.weight.div_(factor)
        last.bias.div_(factor)


def calibration_error(probabilities: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, on average over examples."""
    edges = np.minimum((probabilities * bins).astype(int), bins - 1)
    gaps = [
        abs(probabilities[edges == number].mean() - correct[edges == number].mean()) * (edges == number).sum()
        for number in range(bins)
        if (edges == number).any()
    ]
    return float(sum(gaps) / max(len(probabilities), 1))


def sections(data: Data) -> Report:
    """The sections on errors, from the test examples and the served model's scores."""

    def report(work: Path, examples: Sequence[Example], outputs: Sequence[Scores]) -> Sequence[str]:
        if data.several:
            return [*data_section(data)]
        expected = [str(example.expected) for example in examples]
        predicted = [top_label(scores) for scores in outputs]
        confidence = np.array([scores[label] for scores, label in zip(outputs, predicted, strict=True)])
        correct = np.array([label == truth for label, truth in zip(predicted, expected, strict=True)])
        error = calibration_error(confidence, correct)
        return [
            "## Errors on the test data",
            confusion(data.labels, expected, predicted),
            f"Calibration: scores and accuracy differ by {error:.3f} on average (expected calibration error).",
            doubtful(work, examples, outputs),
            *data_section(data),
        ]

    return report


def data_section(data: Data) -> list[str]:
    return ["## Data", "\n".join(f"- {line}" for line in data.report.lines())]


def confusion(labels: Sequence[str], expected: Sequence[str], predicted: Sequence[str]) -> str:
    """The confusion matrix as a table, or precision and recall by label if there are many."""
    matrix = np.zeros((len(labels), len(labels)), int)
    for truth, guess in zip(expected, predicted, strict=True):
        matrix[labels.index(truth), labels.index(guess)] += 1
    hits = matrix.diagonal()
    recalls, precisions = hits / np.maximum(matrix.sum(1), 1), hits / np.maximum(matrix.sum(0), 1)
    names = [cell(label) for label in labels]
    if len(labels) > MAX_CONFUSION:
        order = np.argsort(recalls)[: 3 * MAX_CONFUSION]
        rows = [f"| {names[i]} | {matrix[i].sum()} | {recalls[i]:.3f} | {precisions[i]:.3f} |" for i in order]
        return "\n".join(["| label, worst first | examples | recall | precision |", "|---|---:|---:|---:|", *rows])
    rows = [
        f"| **{names[i]}** | " + " | ".join(map(str, matrix[i])) + f" | {recalls[i]:.3f} | {precisions[i]:.3f} |"
        for i in range(len(labels))
    ]
    header = "| true, predicted → | " + " | ".join(names) + " | recall | precision |"
    return "\n".join([header, "|---|" + "---:|" * (len(labels) + 2), *rows])


def cell(text: str, length: int = 80) -> str:
    """A text within a cell of a Markdown table."""
    flat = " ".join(text.split()).replace("|", "\\|")
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def doubtful(work: Path, examples: Sequence[Example], outputs: Sequence[Scores]) -> str:
    """The examples whose label has the lowest score: errors of the model, or of the label.

    The card, which is published, names them; their texts are in doubtful.tsv in the work folder.
    """
    own = np.array([scores[str(example.expected)] for example, scores in zip(examples, outputs, strict=True)])
    rows, lines = [], ["example\tlabel\tpredicted\tscore\ttext"]
    for index in np.argsort(own):
        example, guess = examples[index], top_label(outputs[index])
        if guess != str(example.expected):
            score = f"{outputs[index][guess]:.2f}"
            rows.append(f"| {cell(example.name, 60)} | {example.expected} | {guess} {score} |")
            text = " ".join(example.inputs.split()) if isinstance(example.inputs, str) else ""
            lines.append(f"{example.name}\t{example.expected}\t{guess}\t{score}\t{text}")
    (work / DOUBTFUL).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if not rows:
        return "No test example was classified wrongly."
    header = ["| example | label | predicted |", "|---|---|---|"]
    title = (
        f"Most doubtful of {len(rows)} errors; look whether the label is right (all are in {DOUBTFUL} of the build):"
    )
    return "\n".join([title, "", *header, *rows[:LISTED]])


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    """Raises RecipeError if the chosen candidate is not better than guessing, which is the first of the results."""
    guess = results[0]
    if chosen.score <= guess.score:
        raise RecipeError(
            f"No candidate is better than guessing: {chosen.name} reaches {chosen.score:.3f} on the validation "
            f"examples, {guess.name} {guess.score:.3f}. Look whether the labels belong to the inputs, "
            "and whether the inputs hold what is asked for; or add examples."
        )
