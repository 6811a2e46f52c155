"""What an explanation of a row of a table is of: its score where columns that are left out have usual values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hearth.errors import BadRequest
from hearth.models.model import Model
from hearth.models.preprocessing import TablePreprocessing
from hearth.ops.attribution import Floats
from hearth.strict_json import safe_name
from hearth.tasks.explanation.parts import Row
from hearth.tasks.explanation.subjects import Subject
from hearth.tasks.schema import ExplainOptions, Measure, Value
from hearth.tasks.task import Prediction


def only_row(columns: Mapping[str, Sequence[Value]]) -> dict[str, Value]:
    """The only row of a table. Raises BadRequest if there are others."""
    if any(len(values) != 1 for values in columns.values()):
        raise BadRequest("One row is explained at a time; send one", param="parameters.explain")
    return {name: values[0] for name, values in columns.items()}


def table_row(
    model: Model[TablePreprocessing, Any],
    content: Mapping[str, Value],
    options: ExplainOptions,
    prediction: Prediction,
    target: str,
    measure: Measure,
    scores_of: Callable[[list[dict[str, Value]]], Floats],
) -> Subject:
    """What an explanation of the prediction for the row `content` is of.

    `scores_of`: rows -> the score of `target` for each, (rows,). Raises BadRequest.
    """
    names = [column.name for column in model.preprocessing.columns]
    reference = usual_rows(model, names) if options.reference is None else options.reference
    for row in reference:
        for name in names:
            if name not in row:
                raise BadRequest(
                    f"A row of `explain.reference` has no column {safe_name(name)}; the columns are: {', '.join(names)}"
                )

    def score(tables: Sequence[list[dict[str, Value]]]) -> Floats:
        rows = [row for table in tables for row in table]
        prediction.usage.items += len(rows)
        means: Floats = scores_of(rows).reshape(len(tables), len(reference)).mean(1, keepdims=True)
        return means

    return Subject(prediction, Row(content, reference), target, measure, score)


def usual_rows(model: Model[TablePreprocessing, Any], names: Sequence[str]) -> list[dict[str, Value]]:
    """Rows of the usual values of each column, by the evaluation's table. The values of the columns are mixed, so that
    no row is one of the table's and a column's values do not depend on the others'. Raises BadRequest if the manifest
    has none."""
    reference = model.manifest.reference
    values = {} if reference is None else reference.columns
    if any(name not in values for name in names):
        raise BadRequest(
            f"{model.manifest.model} was published without the usual values of its columns; publish it with "
            '--reference DATA, or send rows to compare with as `"explain": {"reference": [{…}, …]}`',
            param="parameters.explain",
        )
    mixed = {name: _shuffled(values[name], seed) for seed, name in enumerate(names)}
    return [{name: column[index] for name, column in mixed.items()} for index in range(min(map(len, mixed.values())))]


def _shuffled(values: Sequence[Value], seed: int) -> list[Value]:
    return [values[index] for index in np.random.default_rng(seed).permutation(len(values)).tolist()]
