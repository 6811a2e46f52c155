"""How the outputs of a task are measured; `hearth evaluate MODEL --data PATH` and the step `verify` run it.

`export/evaluations/<folder of the function>.py` contains the `EVALUATION` of each task family, or its `EVALUATIONS` by
task. It calls the function's
own `predict(model, request)`, so what is measured is what is served.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hearth.errors import BadRequest
from hearth.task_table import TASKS
from hearth_build.data.datasets import DataError
from hearth_build.recipe import Example, Recipe


@dataclass(frozen=True)
class Evaluation:
    metric: str
    """The metric of `measure` that gates apply to."""
    higher_is_better: bool
    data_format: str
    """Describes the files that `read` accepts, as a noun phrase."""
    read: Callable[..., Sequence[Example]]
    """Reads examples from a file or folder; the readers of tables take the names of columns by role as well. Raises
    DataError, which describes the format."""
    measure: Callable[[Any, Sequence[Example]], dict[str, float]]
    """Computes the metrics of a model: a hearth.models.model.Model, or a torch network wrapped as one."""
    predict: Callable[[Any, Any], Any]
    """Computes a model's output for one golden input, as JSON can represent it."""
    difference: Callable[[Any, Any], float]
    """The difference between two outputs of `predict`; 0 if they are equal."""
    summarize: Callable[[Any], str]
    """An output in a few words."""
    outputs: Callable[[Any, Sequence[Example]], Sequence[Any]] | None = None
    """Computes what `score` compares with the examples, one value each; with it, metrics get confidence intervals."""
    score: Callable[[Any, Sequence[Example], Sequence[Any]], dict[str, float]] | None = None
    """Computes the metrics of a model from its `outputs`."""

    def loss(self, before: float, after: float) -> float:
        """How much worse `after` is than `before`."""
        return before - after if self.higher_is_better else after - before


def measure_by(
    outputs: Callable[[Any, Sequence[Example]], Sequence[Any]],
    score: Callable[[Any, Sequence[Example], Sequence[Any]], dict[str, float]],
) -> Callable[[Any, Sequence[Example]], dict[str, float]]:
    """The `measure` of an evaluation that has both."""
    return lambda model, examples: score(model, examples, outputs(model, examples))


def evaluation_of(task: str) -> Evaluation:
    """The evaluation of a task's family, or of the task where those of a family have different metrics."""
    module = importlib.import_module(f"hearth_build.evaluations.{TASKS[task].function}")
    evaluation: Evaluation = module.EVALUATIONS[task] if hasattr(module, "EVALUATIONS") else module.EVALUATION
    return evaluation


def evaluation_for(recipe: Recipe) -> Evaluation:
    """The evaluation of a recipe's task, by the recipe's metric."""
    evaluation = evaluation_of(recipe.task)
    return replace(evaluation, metric=recipe.metric) if recipe.metric else evaluation


def measure(evaluation: Evaluation, model: Any, examples: Sequence[Example]) -> dict[str, float]:
    """The metrics of a model. Raises DataError, which names the example that the model does not take."""
    try:
        return evaluation.measure(model, examples)
    except BadRequest:  # of a whole batch, and it names none
        for number, example in enumerate(examples, 1):
            try:
                (evaluation.outputs or evaluation.measure)(model, [example])
            except BadRequest as error:
                raise DataError(f"{example.name or f'Example {number}'}: {error.message}") from None
        raise


def examples_from(path: Path, task: str, columns: Mapping[str, str] = MappingProxyType({})) -> Sequence[Example]:
    """Read the examples in `path`; `columns` names columns of a table by role. Raises DataError, which describes the
    format of the task."""
    evaluation = evaluation_of(task)
    if not path.exists():
        raise DataError(f"{path} does not exist. The evaluation of {task} reads {evaluation.data_format}.")
    try:
        examples = evaluation.read(path, columns) if columns else evaluation.read(path)
    except DataError as error:
        raise DataError(f"{error} The evaluation of {task} reads {evaluation.data_format}.") from None
    if not examples:
        raise DataError(f"{path} has no examples. The evaluation of {task} reads {evaluation.data_format}.")
    return examples
