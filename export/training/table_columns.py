"""The columns of a table: which of them can be learnt from, and their values as arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hearth.models.preprocessing import Column
from hearth_build.data.datasets import DataError
from hearth_build.data.report import DataReport
from hearth_build.data.tables import is_number
from hearth_build.recipe import Example

MAX_CATEGORIES = 200
"""A column of texts with more different values is left out."""
IDENTIFIER = re.compile(r"(.*[\W_])?(id|Id|ID|index|Index)|.*[a-z](Id|ID)|Unnamed: 0")
"""Names of columns whose numbers say nothing about their rows."""
FEW_TEXTS = 0.2
"""Share of texts below which a column seems to be of numbers."""


@dataclass(frozen=True)
class TableColumns:
    numbers: tuple[str, ...] = ()
    """Columns of numbers."""
    texts: tuple[str, ...] = ()
    """Columns of texts: categories."""

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.texts)

    def described(self) -> tuple[Column, ...]:
        """The columns as the manifest describes them."""
        return (*(Column(name, "numbers") for name in self.numbers), *(Column(name, "texts") for name in self.texts))

    def values(self, examples: Sequence[Example]) -> np.ndarray:
        """The values, (rows, columns), rounded as the runtime rounds them."""
        table = np.empty((len(examples), len(self.names)), object)
        for row, example in enumerate(examples):
            for column, name in enumerate(self.names):
                value = example.inputs.get(name)
                if name in self.numbers:
                    table[row, column] = float("nan") if value is None else float(np.float32(value))
                else:
                    table[row, column] = "" if value is None else str(value)
        return table

    def feeds(self, table: np.ndarray) -> dict[str, np.ndarray]:
        """The values as inputs of the graph, without those of a kind that has no column."""
        count = len(self.numbers)
        feeds = {"numbers": table[:, :count].astype(np.float32), "texts": table[:, count:]}
        return {name: values for name, values in feeds.items() if values.shape[1]}


def find_columns(examples: Sequence[Example], report: DataReport) -> TableColumns:
    """The columns of numbers and of texts that can be learnt from. Raises DataError if there are none."""
    numbers: list[str] = []
    texts: list[str] = []
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
    return TableColumns(tuple(numbers), tuple(texts))


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


def check_columns(path: str, test: Sequence[Example], columns: TableColumns) -> None:
    """Raises DataError for test data without a column of the training data, or with texts in one of numbers."""
    for example in test:
        if absent := [name for name in columns.names if name not in example.inputs]:
            raise DataError(f"{path} has no column {absent[0]!r}, which --data has.")
        for name in columns.numbers:
            value = example.inputs[name]
            if value is not None and not is_number(value):
                raise DataError(f"{path}, {example.name}: {name} is {str(value)[:40]!r}, but a number in --data.")
