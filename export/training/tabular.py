"""tabular-classification and tabular-regression: estimators of scikit-learn, chosen by cross-validation."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import onnxruntime
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import accuracy_score, mean_absolute_error
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from hearth.models.manifest import Limits
from hearth.models.preprocessing import Column, TablePreprocessing
from hearth_build.data import labelled_rows
from hearth_build.data.datasets import DataError
from hearth_build.data.report import (
    MIN_EXAMPLES,
    DataReport,
    describe_conflicts,
    describe_labels,
    describe_split,
    usable_labels,
)
from hearth_build.data.split import by_age, counts, exact_duplicates, split
from hearth_build.data.tables import is_number
from hearth_build.onnx_export.export import OPSET
from hearth_build.recipe import Example, Gate, NoQuantization, Recipe, RecipeError
from hearth_build.training.candidates import Candidate, Data, Session, Trainer
from hearth_build.training.classification import LISTED, cell, data_section, majority, natural, sections

CLASSIFICATION = "tabular-classification"
FOLDS = 5
MAX_CATEGORIES = 200
"""A column of texts with more different values is left out."""
IDENTIFIER = re.compile(r"(.*[\W_])?(id|Id|ID|index|Index)|.*[a-z](Id|ID)|Unnamed: 0")
"""Names of columns whose numbers say nothing about their rows."""
FEW_TEXTS = 0.2
"""Share of texts below which a column seems to be of numbers."""
MAX_ROWS = 10_000
"""Rows of a request."""
TOLERANCE = 0.01
"""Largest share of rows for which the graph and the estimator may differ, where a number is at a tree's threshold."""
GOLDEN_ROWS = 8


@dataclass(frozen=True)
class TableData(Data):
    numbers: tuple[str, ...] = ()
    """Columns of numbers."""
    texts: tuple[str, ...] = ()
    """Columns of texts: categories."""

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.numbers, *self.texts)

    @property
    def is_classification(self) -> bool:
        return bool(self.labels)


def read(session: Session) -> TableData:
    """Read, check and split the rows. Raises DataError."""
    plan, report = session.plan, DataReport()
    usable = usable_classes if plan.task == CLASSIFICATION else usable_numbers
    rows = labelled_rows.read_rows(Path(plan.data), plan.columns)
    report.facts.append(f"Predicts the column {rows.target!r}")
    if rows.is_guess:
        report.warnings.append(
            f"{rows.target!r} is predicted because it is the last column; name another with --column target=NAME"
        )
    examples = usable(plan.data, rows.examples, report)
    test = usable(plan.test, own_test_rows(plan.test, rows.target, plan.columns), report) if plan.test else []
    numbers, texts = describe_columns(examples, report)
    check_columns(plan.test, test, numbers, texts)
    together = [*examples, *test]
    duplicates = exact_duplicates([repr(example.inputs) for example in together])
    labels: tuple[str, ...] = ()
    if plan.task == CLASSIFICATION:
        describe_labels(report, together)
        describe_conflicts(report, together, duplicates.clusters)
        describe_leaks(examples, report)
    own_test = (test, duplicates.clusters[len(examples) :]) if test else None
    parts = split(examples, duplicates.clusters[: len(examples)], plan.seed, own_test)
    describe_split(report, parts, duplicates)
    if plan.task == CLASSIFICATION:
        labels = tuple(sorted(counts(parts.train), key=natural))
    return TableData(parts, labels, report, numbers=numbers, texts=texts)


def own_test_rows(path: str, target: str, columns: dict[str, str]) -> list[Example]:
    """The rows of the user's test data, with the same column to predict. Raises DataError without it."""
    return labelled_rows.read(Path(path), {**columns, "target": target})


def check_columns(path: str, test: Sequence[Example], numbers: Sequence[str], texts: Sequence[str]) -> None:
    """Raises DataError for test data without a column of the training data, or with texts in one of numbers."""
    for example in test:
        if absent := [name for name in (*numbers, *texts) if name not in example.inputs]:
            raise DataError(f"{path} has no column {absent[0]!r}, which --data has.")
        for name in numbers:
            value = example.inputs[name]
            if value is not None and not is_number(value):
                raise DataError(f"{path}, {example.name}: {name} is {str(value)[:40]!r}, but a number in --data.")


def usable_classes(path: str, examples: list[Example], report: DataReport) -> list[Example]:
    return usable_labels(examples, report, path, "rows")


def usable_numbers(path: str, examples: list[Example], report: DataReport) -> list[Example]:
    wrong = [example for example in examples if example.expected and not is_number(example.expected)]
    if wrong:
        raise DataError(
            f"{path}, {wrong[0].name}: the value to predict is {wrong[0].expected!r}, which is no number. Name the "
            "right column with --column target=NAME, or train tabular-classification."
        )
    kept = [example for example in examples if example.expected]
    if len(kept) < len(examples):
        report.warnings.append(f"{len(examples) - len(kept):,} rows without a value to predict are left out")
    if len(kept) < MIN_EXAMPLES:
        raise DataError(f"{path} has {len(kept)} rows with a value to predict; at least {MIN_EXAMPLES} are needed.")
    values = np.array([float(example.expected) for example in kept])
    if values.min() == values.max():
        raise DataError(f"The value to predict is {values[0]:g} in all rows of {path}: there is nothing to learn.")
    low, middle, high = np.percentile(values, [5, 50, 95])
    report.facts.append(f"Values to predict: {middle:.6g} in the middle, 90 % between {low:.6g} and {high:.6g}")
    return kept


def describe_columns(examples: Sequence[Example], report: DataReport) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns of numbers and of texts that can be learnt from. Raises DataError if there are none."""
    numbers, texts = [], []
    for name in examples[0].inputs:
        values = [example.inputs.get(name) for example in examples]
        present = [value for value in values if value is not None]
        distinct = set(map(str, present))
        if len(distinct) < 2:
            report.warnings.append(f"column {name!r} is left out: it has the same value in all rows")
            continue
        others = [value for value in present if isinstance(value, bool) or not is_number(value)]
        if not others:
            if len(distinct) == len(examples) and (is_counter(present) or is_identifier(name, present)):
                report.warnings.append(f"column {name!r} is left out: it numbers the rows")
            else:
                numbers.append(name)
            continue
        if len(others) < len(present) * FEW_TEXTS:
            report.warnings.append(
                f"column {name!r} has texts among its numbers, for example {str(others[0])[:30]!r}, so it is read as "
                "categories. Empty the cells without a number"
            )
        if len(distinct) > min(MAX_CATEGORIES, len(examples) / 2):
            report.warnings.append(
                f"column {name!r} is left out: {len(distinct):,} different texts or dates are no categories. For "
                "texts, train text-classification"
            )
        else:
            texts.append(name)
    missing = sum(value is None for example in examples for value in example.inputs.values())
    report.facts.append(
        f"{len(examples):,} rows; numbers: {', '.join(numbers) or 'none'}; categories: {', '.join(texts) or 'none'}; "
        f"{missing:,} missing values"
    )
    if not numbers and not texts:
        raise DataError("No column is left to predict from: all have a single value, or a different text in each row.")
    return tuple(numbers), tuple(texts)


def is_counter(values: Sequence[Any]) -> bool:
    steps = np.diff(np.array([float(value) for value in values]))
    return bool((steps == 1).all())


def is_identifier(name: str, values: Sequence[Any]) -> bool:
    """Whether a column of different values is an identifier by its name, such as `customer_id`."""
    return bool(IDENTIFIER.fullmatch(name.strip())) and all(float(value).is_integer() for value in values)


def describe_leaks(examples: Sequence[Example], report: DataReport) -> None:
    """Name columns whose value alone gives the label."""
    for name in examples[0].inputs:
        labels: dict[str, Counter[str]] = {}
        for example in examples:
            labels.setdefault(str(example.inputs.get(name)), Counter())[example.expected] += 1
        if 1 < len(labels) <= len(examples) / 5 and all(len(counter) == 1 for counter in labels.values()):
            report.warnings.append(f"column {name!r} alone gives the label: is it known before the label is?")


def candidates(session: Session, data: TableData) -> list[Candidate]:
    """Estimators by their score in cross-validation on the training and validation rows."""
    examples = [*data.split.train, *data.split.validation]
    table, targets = arrays(data, examples)
    results = [baseline(data)]
    for name, make in estimators(data, session.plan.seed).items():
        if len(results) > 2 and session.seconds_left() < 0:
            break
        scores = []
        for training, held in folds(data, examples, targets, session.plan.seed):
            fitted = fit(make(), table[training], targets[training])
            scores.append(measure(data, targets[held], fitted.predict(table[held])))
        whole = partial(finish, session, data, name, make, table, targets)
        results.append(Candidate(name, float(np.mean(scores)), whole))
    return results


def require_learning(chosen: Candidate, results: Sequence[Candidate]) -> None:
    """Raises RecipeError if nothing is better than guessing."""
    if chosen.score == results[0].score:
        raise RecipeError(f"No estimator is better than {results[0].name}: the columns say nothing about the target.")


def baseline(data: TableData) -> Candidate:
    if data.is_classification:
        return majority(data)
    middle = np.median([float(example.expected) for example in data.split.train])
    errors = [abs(float(example.expected) - middle) for example in data.split.validation]
    return Candidate("always the median", float(np.mean(errors)))


def arrays(data: TableData, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """The values, (rows, columns), rounded as the runtime rounds them, and the targets."""
    table = np.empty((len(examples), len(data.columns)), object)
    for row, example in enumerate(examples):
        for column, name in enumerate(data.columns):
            value = example.inputs.get(name)
            if name in data.numbers:
                table[row, column] = float("nan") if value is None else float(np.float32(value))
            else:
                table[row, column] = "" if value is None else str(value)
    expected = [example.expected for example in examples]
    if data.is_classification:
        return table, np.array([data.labels.index(label) for label in expected])
    return table, np.array(expected, float)


def fit(pipeline: Pipeline, table: np.ndarray, targets: np.ndarray) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a network that has not converged is measured as it is
        return pipeline.fit(table, targets)


def estimators(data: TableData, seed: int) -> dict[str, Callable[[], Pipeline]]:
    """Makers of unfitted pipelines by name, the simplest first."""
    if data.is_classification:
        models: dict[str, tuple[Callable[[], Any], bool]] = {
            "logistic regression": (lambda: LogisticRegression(max_iter=2000), True),
            "extra trees": (lambda: ExtraTreesClassifier(300, random_state=seed), False),
            "gradient boosting": (lambda: HistGradientBoostingClassifier(random_state=seed), False),
            "small network": (lambda: MLPClassifier((100,), max_iter=400, random_state=seed), True),
        }
    else:
        models = {
            "ridge regression": (lambda: RidgeCV(np.logspace(-3, 3, 13)), True),
            "extra trees": (lambda: ExtraTreesRegressor(300, random_state=seed), False),
            "gradient boosting": (lambda: HistGradientBoostingRegressor(random_state=seed), False),
            "gradient boosting of the median": (
                lambda: HistGradientBoostingRegressor(loss="absolute_error", random_state=seed),
                False,
            ),
        }
    return {name: partial(pipeline, data, make, scaled) for name, (make, scaled) in models.items()}


def pipeline(data: TableData, make: Callable[[], Any], scaled: bool) -> Pipeline:
    """An estimator after its columns are prepared: categories as zeros and ones, missing numbers as the median."""
    model = make()
    boosts = isinstance(model, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
    steps: list[tuple[str, Any]] = [("missing", SimpleImputer(strategy="median", keep_empty_features=True))]
    if scaled:
        steps.append(("scale", StandardScaler()))
    numbers: Any = "passthrough" if boosts else Pipeline(steps)  # boosting has a way of its own for missing numbers
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    count = len(data.numbers)
    columns = [
        ("numbers", numbers, list(range(count))),
        ("texts", texts, list(range(count, count + len(data.texts)))),
    ]
    return Pipeline([("columns", ColumnTransformer([part for part in columns if part[2]])), ("model", model)])


def folds(
    data: TableData, examples: Sequence[Example], targets: np.ndarray, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out rows, which honour groups and times."""
    count = min(FOLDS, len(examples) // 2)
    if all(example.time for example in examples):
        order = np.array(by_age(examples))
        return [(order[training], order[held]) for training, held in TimeSeriesSplit(count).split(order)]
    groups = [example.group for example in examples]
    if len(set(groups)) >= count:
        return list(GroupKFold(count).split(targets, groups=groups))
    if data.is_classification:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a label may have fewer rows than there are folds
            return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(targets, targets))
    return list(KFold(count, shuffle=True, random_state=seed).split(targets))


def measure(data: TableData, expected: np.ndarray, predicted: np.ndarray) -> float:
    return float((accuracy_score if data.is_classification else mean_absolute_error)(expected, predicted))


def finish(
    session: Session,
    data: TableData,
    name: str,
    make: Callable[[], Pipeline],
    table: np.ndarray,
    targets: np.ndarray,
) -> Recipe:
    """Fit the chosen estimator on all rows but the test's, and turn it into a graph. Raises RecipeError."""
    fitted = fit(make(), table, targets)
    model = graph_of(data, fitted)
    feeds = feeds_of(data, table)
    probabilities = fitted.predict_proba(table) if data.is_classification else fitted.predict(table)[:, None]
    session_ = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session_.run(None, feeds)[-1]
    scale = 1.0 if data.is_classification else float(np.abs(probabilities).max() or 1.0)
    differing = (np.abs(answers - probabilities).max(1) > 1e-3 * scale).mean()
    if differing > TOLERANCE:
        raise RecipeError(f"The graph of {name} differs from scikit-learn's estimator in {differing:.1%} of the rows.")
    return recipe_of(session, data, name, model)


def feeds_of(data: TableData, table: np.ndarray) -> dict[str, np.ndarray]:
    count = len(data.numbers)
    feeds = {"numbers": table[:, :count].astype(np.float32), "texts": table[:, count:]}
    return {name: values for name, values in feeds.items() if values.shape[1]}


def graph_of(data: TableData, fitted: Pipeline) -> onnx.ModelProto:
    """The estimator as a graph from `numbers` and `texts` to the scores of the labels, or to a number."""
    from skl2onnx import to_onnx
    from skl2onnx.common import _container
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    inputs = [
        ("numbers", FloatTensorType([None, len(data.numbers)])),
        ("texts", StringTensorType([None, len(data.texts)])),
    ]
    sizes = (len(data.numbers), len(data.texts))
    # skl2onnx 1.20 writes the booleans of boosted trees as they are, which protobuf 7 refuses as integers.
    with mock.patch.object(_container, "make_node", with_integers(_container.make_node)):
        model = to_onnx(
            fitted,
            initial_types=[part for part, size in zip(inputs, sizes, strict=True) if size],
            options={id(fitted): {"zipmap": False}} if data.is_classification else None,
            target_opset={"": OPSET, "ai.onnx.ml": 3},
        )
    kept = model.graph.output[-1]
    del model.graph.output[:]
    model.graph.output.append(kept)
    return model


def with_integers(make_node: Callable[..., Any]) -> Callable[..., Any]:
    def make(*arguments: Any, **attributes: Any) -> Any:
        for name, value in attributes.items():
            if isinstance(value, list) and any(isinstance(item, bool | np.bool_) for item in value):
                attributes[name] = [int(item) for item in value]
        return make_node(*arguments, **attributes)

    return make


def recipe_of(session: Session, data: TableData, name: str, model: onnx.ModelProto) -> Recipe:
    columns = [Column(column, "numbers") for column in data.numbers] + [
        Column(column, "texts") for column in data.texts
    ]
    rows = golden_rows(data)
    target = "a label" if data.is_classification else "a number"
    return session.recipe(
        data,
        description=f"Predicts {target} from {', '.join(data.columns[:8])}: {name}.",
        graphs={"main": lambda network, path: onnx.save(model, str(path))},
        dev={"validation rows, which the estimator has seen too": lambda work: data.split.validation},
        report=sections(data) if data.is_classification else number_sections(data),
        golden=lambda: [rows, rows[:1]],
        preprocessing=TablePreprocessing(columns=tuple(columns)),
        quantization=NoQuantization(),
        gate=Gate(
            metric=0.0 if data.is_classification else float("inf"), quantization_loss=0.0, bytes=2**31, difference=1e-3
        ),
        activation="none",
        limits=Limits(batch=MAX_ROWS),
        limitations=(
            "Numbers far outside those of the training rows get answers without meaning; new categories are ignored.",
            "The estimator was chosen by cross-validation on the training and validation rows, and fitted on them.",
        ),
    )


def golden_rows(data: TableData) -> list[dict[str, Any]]:
    """Rows whose values are drawn column by column: none of them is a row of the data."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [{} for _ in range(GOLDEN_ROWS)]
    for name in data.columns:
        values = [example.inputs.get(name) for example in data.split.train]
        if name in data.numbers:
            low, high = np.percentile([float(value) for value in values if value is not None], [10, 90])
            drawn: list[Any] = [round(float(value), 4) for value in random.uniform(low, high, GOLDEN_ROWS)]
        else:
            drawn = random.choice(sorted({str(value) for value in values if value is not None}), GOLDEN_ROWS).tolist()
        for row, value in zip(rows, drawn, strict=True):
            row[name] = value
    return rows


def number_sections(data: TableData) -> Callable[[Path, Sequence[Example], Sequence[Any]], Sequence[str]]:
    def report(work: Path, examples: Sequence[Example], outputs: Sequence[float]) -> Sequence[str]:
        errors = np.array(outputs) - np.array([float(example.expected) for example in examples])
        rows = [
            f"| {cell(examples[index].name, 40)} | {examples[index].expected} | {outputs[index]:.6g} |"
            for index in np.argsort(-np.abs(errors))[:LISTED]
        ]
        table = "\n".join(["| example, largest error first | value | predicted |", "|---|---:|---:|", *rows])
        return ["## Errors on the test data", table, *data_section(data)]

    return report


TRAINER = Trainer(read, candidates, require_learning=require_learning, chosen_in="cross-validation")
