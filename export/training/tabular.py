"""tabular-classification and tabular-regression: estimators of scikit-learn, chosen by cross-validation."""

from __future__ import annotations

import warnings
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
from hearth.models.preprocessing import TablePreprocessing
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
from hearth_build.training.table_columns import TableColumns, check_columns, describe_leaks, find_columns

CLASSIFICATION = "tabular-classification"
FOLDS = 5
MAX_ROWS = 10_000
"""Rows of a request."""
TOLERANCE = 0.01
"""Largest share of rows for which the graph and the estimator may differ, where a number is at a tree's threshold."""
GOLDEN_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class TableData(Data):
    columns: TableColumns

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
    columns = find_columns(examples, report)
    check_columns(plan.test, test, columns)
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
    return TableData(parts, labels, report, columns=columns)


def own_test_rows(path: str, target: str, columns: dict[str, str]) -> list[Example]:
    """The rows of the user's test data, with the same column to predict. Raises DataError without it."""
    return labelled_rows.read(Path(path), {**columns, "target": target})


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


def candidates(session: Session, data: TableData) -> list[Candidate]:
    """Estimators by their score in cross-validation on the training and validation rows."""
    examples = [*data.split.train, *data.split.validation]
    table, targets = data.columns.values(examples), targets_of(data, examples)
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


def targets_of(data: TableData, examples: Sequence[Example]) -> np.ndarray:
    """The numbers of the labels, or the values to predict."""
    expected = [example.expected for example in examples]
    if data.is_classification:
        return np.array([data.labels.index(label) for label in expected])
    return np.array(expected, float)


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
    count = len(data.columns.numbers)
    columns = [
        ("numbers", numbers, list(range(count))),
        ("texts", texts, list(range(count, count + len(data.columns.texts)))),
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
    feeds = data.columns.feeds(table)
    probabilities = fitted.predict_proba(table) if data.is_classification else fitted.predict(table)[:, None]
    session_ = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    answers = session_.run(None, feeds)[-1]
    scale = 1.0 if data.is_classification else float(np.abs(probabilities).max() or 1.0)
    differing = (np.abs(answers - probabilities).max(1) > 1e-3 * scale).mean()
    if differing > TOLERANCE:
        raise RecipeError(f"The graph of {name} differs from scikit-learn's estimator in {differing:.1%} of the rows.")
    return recipe_of(session, data, name, model)


def graph_of(data: TableData, fitted: Pipeline) -> onnx.ModelProto:
    """The estimator as a graph from `numbers` and `texts` to the scores of the labels, or to a number."""
    from skl2onnx import to_onnx
    from skl2onnx.common import _container
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    inputs = [
        ("numbers", FloatTensorType([None, len(data.columns.numbers)])),
        ("texts", StringTensorType([None, len(data.columns.texts)])),
    ]
    sizes = (len(data.columns.numbers), len(data.columns.texts))
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
    rows = golden_rows(data)
    target = "a label" if data.is_classification else "a number"
    return session.recipe(
        data,
        description=f"Predicts {target} from {', '.join(data.columns.names[:8])}: {name}.",
        graphs={"main": lambda network, path: onnx.save(model, str(path))},
        dev={"validation rows, which the estimator has seen too": lambda work: data.split.validation},
        report=sections(data) if data.is_classification else number_sections(data),
        golden=lambda: [rows, rows[:1]],
        preprocessing=TablePreprocessing(columns=data.columns.described()),
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
    for name in data.columns.names:
        values = [example.inputs.get(name) for example in data.split.train]
        if name in data.columns.numbers:
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
