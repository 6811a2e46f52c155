"""tabular-classification: a label for each row of a table; tabular-regression: a number."""

from __future__ import annotations

import csv
import io
import itertools
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from hearth.aws_lambda.handler import create_handler
from hearth.errors import BadRequest, PayloadTooLarge
from hearth.models.manifest import Tensor
from hearth.models.model import Model
from hearth.models.preprocessing import TablePreprocessing
from hearth.ops.activations import activate, top_indices
from hearth.ops.json_tensors import dtype_of
from hearth.strict_json import safe_name
from hearth.tasks.graph import run
from hearth.tasks.schema import Explainable, Explained, ExplainOptions, Label, Value
from hearth.tasks.task import Prediction, Task, Usage, explainable
from hearth.telemetry.observation import observe_label
from hearth.telemetry.timing import step

if TYPE_CHECKING:
    from hearth.tasks.explanation.subjects import Subject

TableModel = Model[TablePreprocessing, None]
Columns = dict[str, list[Value]]
DELIMITERS = ",;\t"


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    data: Columns


class Parameters(Explainable, frozen=True):
    pass


class ClassificationParameters(Explainable, frozen=True):
    top_k: Annotated[int, Meta(ge=1)] | None = None
    """Return the best labels of each row with their scores, instead of the best label alone."""


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """A table as `inputs` or, as huggingface_hub's client sends it, as `table`."""

    inputs: list[dict[str, Value]] | Table | str | None = None
    """Rows with named values; the values of each column as `data`; or CSV with a line of names."""
    table: Columns | None = None
    """The values of each column."""


class RegressionRequest(Request, frozen=True, forbid_unknown_fields=True):
    parameters: Parameters = Parameters()


class ClassificationRequest(Request, frozen=True, forbid_unknown_fields=True):
    parameters: ClassificationParameters = ClassificationParameters()


ClassificationResponse = list[str | list[Label]] | Explained
"""The label of each row; with `top_k`, labels and scores, best first."""
RegressionResponse = list[float | list[float]] | Explained
"""The number of each row; several numbers for a model that predicts several."""


def encode(model: TableModel, request: Request) -> dict[str, np.ndarray[Any, Any]]:
    """The graph's inputs, (rows, columns) each. Raises BadRequest, PayloadTooLarge."""
    table = read_table(request)
    columns = model.preprocessing.columns
    names = [column.name for column in columns]
    for name in names:
        if name not in table:
            raise BadRequest(f"The column {safe_name(name)} is missing; the columns are: {', '.join(names)}")
    rows = len(table[names[0]])
    if any(len(table[name]) != rows for name in names):
        raise BadRequest("All columns must have the same number of values")
    if not rows:
        raise BadRequest("The table is empty; send at least one row")
    if rows > model.manifest.limits.batch:
        raise PayloadTooLarge(f"The table has {rows} rows; {model.manifest.limits.batch} are allowed in one request")
    feeds = {}
    for tensor in model.manifest.graphs["main"].inputs:
        own = [column.name for column in columns if column.input == tensor.name]
        values = [convert_column(tensor, name, table[name]) for name in own]
        feeds[tensor.name] = np.stack(values, 1) if len(tensor.shape) > 1 else values[0]
    return feeds


def read_table(request: Request) -> Columns:
    """The values of each column. Raises BadRequest."""
    if (request.inputs is None) == (request.table is None):
        raise BadRequest("Send either `inputs` or `table`")
    if request.table is not None:
        return request.table
    if isinstance(request.inputs, Table):
        return request.inputs.data
    rows = request.inputs or []
    if isinstance(rows, str):
        return read_csv(rows)
    names = dict.fromkeys(itertools.chain.from_iterable(rows))
    return {name: [row.get(name) for row in rows] for name in names}


def read_csv(text: str) -> Columns:
    """The columns of a CSV text whose first line has their names; empty fields are missing. Raises BadRequest.

    The delimiter is the comma, semicolon or tab that the first line has most of: spreadsheets write each of them.
    """
    text = text.removeprefix("\ufeff")
    delimiter = max(DELIMITERS, key=text.partition("\n")[0].count)
    try:
        names, *rows = [row for row in csv.reader(io.StringIO(text), strict=True, delimiter=delimiter) if row]
        if any(len(row) != len(names) for row in rows):
            raise ValueError
    except (csv.Error, ValueError):
        raise BadRequest(
            "`inputs` must be CSV with a line of column names and as many values in each line after it, a list of "
            "rows, or an object with `data`"
        ) from None
    return {name: [row[index] or None for row in rows] for index, name in enumerate(names)}


def convert_column(tensor: Tensor, name: str, values: list[Value]) -> np.ndarray[Any, Any]:
    """A column as the graph's type; missing numbers are NaN, missing texts are empty. Raises BadRequest."""
    dtype = dtype_of(tensor.dtype)
    try:
        if dtype.kind == "O":
            texts = ["" if value is None else value if isinstance(value, str) else f"{value}" for value in values]
            return np.array(texts, object)
        if dtype.kind == "f":
            return np.array([np.nan if value is None else float(value) for value in values], dtype)
        return np.array([to_integer(value) for value in values], dtype)
    except (TypeError, ValueError, OverflowError):
        kind = "numbers" if dtype.kind == "f" else "integers"
        optional = "; a missing value is null" if dtype.kind == "f" else ", none of them missing"
        raise BadRequest(f"The column {safe_name(name)} must have {kind}{optional}") from None


def to_integer(value: Value) -> int:
    """A whole number as it is: as a float, one above 2**53 would become another. Raises TypeError, ValueError,
    OverflowError."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        return int(value)
    number = float(value)  # type: ignore[arg-type]
    if number != int(number):
        raise ValueError
    return int(number)


def decode_labels(model: TableModel, request: ClassificationRequest, scores: np.ndarray[Any, Any]) -> list[Any]:
    """`scores`: (rows, labels)."""
    labels, count = model.manifest.labels, request.parameters.top_k
    for row, best in enumerate(scores.argmax(1).tolist()):
        observe_label(best, float(scores[row, best]))
    if count is None:
        return [labels[index] for index in scores.argmax(1)]
    ranked = zip(scores.tolist(), top_indices(scores, count), strict=True)
    return [[Label(labels[index], row[index]) for index in indices] for row, indices in ranked]


def run_labels(model: TableModel, request: Request) -> np.ndarray[Any, Any]:
    """Scores (rows, labels). Raises BadRequest, PayloadTooLarge."""
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = run(model, feeds)
    return activate(outputs[0].astype(np.float32), model.manifest.activation)


def predict(model: TableModel, request: ClassificationRequest) -> Prediction:
    scores = run_labels(model, request)
    with step("decode"):
        response = decode_labels(model, request, scores)
    return Prediction(response, Usage(len(response)))


def run_numbers(model: TableModel, request: Request) -> np.ndarray[Any, Any]:
    """(rows, numbers). Raises BadRequest, PayloadTooLarge."""
    with step("encode"):
        feeds = encode(model, request)
    with step("run"):
        outputs = run(model, feeds)
    numbers: np.ndarray[Any, Any] = outputs[0].reshape(len(outputs[0]), -1).astype(float)
    if not np.isfinite(numbers).all():
        raise BadRequest("The model answers NaN or infinity for these values; does it allow missing values?")
    return numbers


def predict_numbers(model: TableModel, request: RegressionRequest) -> Prediction:
    numbers = run_numbers(model, request)
    with step("decode"):
        response = numbers[:, 0].tolist() if numbers.shape[1] == 1 else numbers.tolist()
    return Prediction(response, Usage(len(response)))


def subject(model: TableModel, request: ClassificationRequest, options: ExplainOptions) -> Subject:
    """What an explanation of a row's label is of. Raises BadRequest."""
    from hearth.tasks.explanation.subjects import no_target
    from hearth.tasks.explanation.table_row import only_row, table_row

    labels, prediction = model.manifest.labels, predict(model, request)
    best: Any = prediction.output[0]
    name = options.target or (best if isinstance(best, str) else best[0].label)
    if name not in labels:
        raise no_target(name, "label")

    def scores_of(rows: list[dict[str, Value]]) -> np.ndarray[Any, Any]:
        return run_labels(model, Request(rows))[:, labels.index(name)].astype(float)

    return table_row(model, only_row(read_table(request)), options, prediction, name, "score", scores_of)


def subject_of_numbers(model: TableModel, request: RegressionRequest, options: ExplainOptions) -> Subject:
    """What an explanation of a row's number is of. Raises BadRequest."""
    from hearth.tasks.explanation.subjects import find_index
    from hearth.tasks.explanation.table_row import only_row, table_row

    prediction = predict_numbers(model, request)
    first: Any = prediction.output[0]
    numbers = first if isinstance(first, list) else [first]
    index = 0 if options.target is None else find_index(options.target, numbers, "number")
    name = str(index) if len(numbers) > 1 else "number"

    def scores_of(rows: list[dict[str, Value]]) -> np.ndarray[Any, Any]:
        return run_numbers(model, Request(rows))[:, index]

    return table_row(model, only_row(read_table(request)), options, prediction, name, "prediction", scores_of)


_EXAMPLE = {"inputs": [{"age": 39, "hours": 40.5}]}
TASKS = (
    explainable(
        Task(
            "tabular-classification", ClassificationRequest, ClassificationResponse, predict, _EXAMPLE, subject=subject
        )
    ),
    explainable(
        Task(
            "tabular-regression",
            RegressionRequest,
            RegressionResponse,
            predict_numbers,
            _EXAMPLE,
            subject=subject_of_numbers,
        )
    ),
)
handler = create_handler(TASKS)
