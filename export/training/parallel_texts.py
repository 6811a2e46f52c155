"""Shared by translation and summarization: data, report, golden inputs, and what their recipes have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hearth_build.data import parallel_texts
from hearth_build.data.datasets import DataError, text_key
from hearth_build.data.parallel_texts import Roles
from hearth_build.data.report import LISTED, MIN_EXAMPLES, DataReport, describe_split, language_of
from hearth_build.data.split import duplicate_texts, split
from hearth_build.evaluations.written_texts import difference
from hearth_build.recipe import DynamicInt8, Example, Gate, RecipeError
from hearth_build.training.candidates import Candidate, Data, Session
from hearth_build.training.classification import DOUBTFUL, cell, data_section

MEASURED = 500
"""Validation examples for which texts are written, to compare candidates and precisions."""
FEW = 2000
"""Pairs below which a network that starts from nothing learns little."""
GOLDEN = 3
SHARED = 5
"""Texts that begin alike, at least, for their beginning to be a golden input, which is published with the model."""
FALLBACK = ("A man is riding a bicycle.", "The house is small.", "Where can I buy a ticket?")
Texts = Sequence[str]


@dataclass(frozen=True)
class PairData(Data):
    languages: tuple[str, str] = ("", "")
    """Codes of the languages of the first and the second texts, where they are known."""

    @property
    def measured(self) -> list[Example]:
        """Validation examples at equal distances, MEASURED at most."""
        return self.split.validation[:: -(-len(self.split.validation) // MEASURED)]


@dataclass(frozen=True)
class TextTask:
    """What distinguishes the tasks that write texts."""

    roles: Roles
    noun: str
    """What is written, such as `translation`."""
    metrics: Callable[[PairData, Sequence[Example], Texts], dict[str, float]]
    """As the evaluation's; the first is the one that candidates are chosen by."""
    baselines: Callable[[PairData, Sequence[Example]], dict[str, Texts]]
    """Texts that are written without learning, by name."""
    tokens: tuple[int, int]
    """Largest number of tokens of the first and the second text of a network that starts from nothing."""
    cuts: bool
    """Whether the first texts may be cut: a summary also fits the beginning, a translation does not."""
    loss_of_quantization: float
    """Largest loss of the metric on the validation examples for which int8 is served."""

    def baseline_candidates(self, data: PairData) -> list[Candidate]:
        texts = self.baselines(data, data.measured)
        return [Candidate(name, self.score(data, written)) for name, written in texts.items()]

    def score(self, data: PairData, written: Texts) -> float:
        return next(iter(self.metrics(data, data.measured, written).values()))


def read(session: Session, task: TextTask) -> PairData:
    """Read, check and split the pairs. Raises DataError."""
    plan, report = session.plan, DataReport()
    examples = usable(plan.data, plan.columns, report, task)
    test = usable(plan.test, plan.columns, report, task) if plan.test else []
    sides = [[example.inputs for example in examples], [str(example.expected) for example in examples]]
    names = tuple(language_of(texts[:2000]) for texts in sides)
    report.facts.append(f"{len(examples):,} pairs")
    for role, texts, name in zip(task.roles, sides, names, strict=True):
        middle, long = np.percentile(list(map(len, texts)), [50, 95])
        report.facts.append(f"{role.name}: {name}; half have up to {middle:.0f} characters, 95 % up to {long:.0f}")
    duplicates = duplicate_texts([example.inputs for example in [*examples, *test]])
    count = len(examples)
    own_test = (test, duplicates.clusters[count:]) if test else None
    parts = split(examples, duplicates.clusters[:count], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    if not plan.base and len(parts.train) < FEW:
        report.warnings.append(
            f"{len(parts.train):,} pairs are few to learn a language from nothing: name a checkpoint with --from, or "
            "expect little"
        )
    codes = parallel_texts.column_languages(Path(plan.data), plan.columns)
    languages = tuple(code or parallel_texts.CODES.get(name, "") for code, name in zip(codes, names, strict=True))
    return PairData(parts, (), report, names[0], languages=(languages[0], languages[1]))


def usable(path: str, columns: dict[str, str], report: DataReport, task: TextTask) -> list[Example]:
    first, second = (role.name for role in task.roles)
    examples = parallel_texts.read(Path(path), columns, task.roles)
    empty = [example.name for example in examples if not example.inputs or not example.expected]
    if empty:
        names = ", ".join(empty[:LISTED]) + (", …" if len(empty) > LISTED else "")
        report.warnings.append(f"{len(empty):,} pairs with an empty text are left out: {names}")
    kept = [example for example in examples if example.inputs and example.expected]
    if len(kept) < MIN_EXAMPLES:
        raise DataError(
            f"{path} has {len(kept)} pairs with two texts. At least {MIN_EXAMPLES} are needed to train and to measure; "
            "tens of thousands give good models, or some hundreds with --from."
        )
    if len({example.expected for example in kept}) < 2:
        raise DataError(f"All {len(kept)} pairs of {path} have the same {second}: there is nothing to learn.")
    equal = [example.name for example in kept if text_key(example.inputs) == text_key(example.expected)]
    if len(equal) > 0.9 * len(kept):
        raise DataError(f"{second} is the same as {first} in {len(equal):,} of {len(kept):,} pairs of {path}.")
    if equal:
        report.warnings.append(
            f"{len(equal):,} pairs have the same text twice, for example {', '.join(equal[:LISTED])}"
        )
    if task.cuts and sum(len(example.expected) > len(example.inputs) for example in kept) > len(kept) / 2:
        raise DataError(
            f"Most texts of {path} are shorter than their {second}. Exchange the columns: "
            f"--column {first}=NAME --column {second}=NAME."
        )
    ratios = np.array([len(example.expected) / len(example.inputs) for example in kept])
    odd = [kept[index].name for index in np.flatnonzero(np.abs(np.log(ratios / np.median(ratios))) > np.log(5))]
    if odd and not task.cuts:
        report.warnings.append(
            f"{len(odd):,} pairs differ in length by more than usual; look whether they belong together: "
            f"{', '.join(odd[:LISTED])}{', …' if len(odd) > LISTED else ''}"
        )
    return kept


def golden(data: PairData) -> list[str]:
    """Beginnings that several training texts share: like the data, and of nobody's text alone."""
    counts: Counter[str] = Counter()
    for example in data.split.train[:50_000]:
        words = example.inputs.split()
        lengths = range(3, 7) if len(words) > 3 else ()
        counts.update(" ".join(words[:length]) for length in lengths)
        if len(words) <= 2:  # a script without spaces
            counts.update(example.inputs[:length] for length in (4, 6, 8) if len(example.inputs) > length)
    shared = sorted((text for text, count in counts.items() if count >= SHARED), key=lambda text: (-len(text), text))
    chosen: list[str] = []
    for text in shared:
        if not any(text[:4] == other[:4] for other in chosen):
            chosen.append(text)
    return chosen[:GOLDEN] or list(FALLBACK)


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    """Raises RecipeError if the network writes no better than the first baseline."""
    guess = results[0]
    if chosen.score <= guess.score:
        raise RecipeError(
            f"The network writes no better than {guess.name} ({chosen.score:.3g} against {guess.score:.3g} on the "
            "validation pairs). Give it more --minutes, more pairs, or a checkpoint with --from."
        )


def recipe_fields(session: Session, data: PairData, task: TextTask) -> dict[str, Any]:
    """What the recipes of a network from scratch and of a checkpoint have in common."""
    return {
        "dev": {"validation": lambda work: data.measured},
        "report": sections(data, task),
        "golden": lambda: golden(data),
        "quantization": session.quantization(DynamicInt8()),
        "gate": Gate(metric=0.0, quantization_loss=task.loss_of_quantization, bytes=2**31, difference=0.6),
    }


def sections(data: PairData, task: TextTask) -> Callable[[Path, Sequence[Example], Texts], Sequence[str]]:
    """The baselines on the test pairs, the worst texts by name, and the report on the data."""

    def report(work: Path, examples: Sequence[Example], outputs: Texts) -> Sequence[str]:
        candidates = {**task.baselines(data, examples), "**served**": outputs}
        rows = {name: task.metrics(data, examples, texts) for name, texts in candidates.items()}
        names = list(next(iter(rows.values())))
        table = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        table += [f"| {name} | {' | '.join(f'{row[key]:.3g}' for key in names)} |" for name, row in rows.items()]
        return ["## Test data", "\n".join(table), worst(work, examples, outputs, task), *data_section(data)]

    return report


def worst(work: Path, examples: Sequence[Example], outputs: Texts, task: TextTask) -> str:
    """The examples whose output differs most from the reference, by name; their texts are in doubtful.tsv."""
    distances = [difference(output, str(example.expected)) for example, output in zip(examples, outputs, strict=True)]
    first, second = (role.name for role in task.roles)
    lines = [f"example\tdifference\t{first}\t{second}\twritten"]
    order = np.argsort(-np.array(distances), kind="stable")
    for index in order:
        example = examples[index]
        texts = (" ".join(text.split()) for text in (example.inputs, str(example.expected), outputs[index]))
        lines.append("\t".join([example.name, f"{distances[index]:.2f}", *texts]))
    (work / DOUBTFUL).write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = ", ".join(cell(examples[index].name, 40) for index in order[:10])
    return f"Least like their reference: {names} (all are in {DOUBTFUL} of the build)."
