"""How a task's answers are judged; `hearth evaluate MODEL --data PATH` and the step `verify` run it.

`export/evaluations/<folder of the function>.py` holds each family's `EVALUATION`. All goes through the function's own
`predict(model, request)`, so what is measured is what is served.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hearth.task_table import TASKS
from hearth_build.recipe import Example


@dataclass(frozen=True)
class Evaluation:
    metric: str
    """The one of `measure` that gates look at."""
    higher: bool
    """Whether more of it is better."""
    form: str
    """What `read` takes, in a sentence."""
    read: Callable[[Path], Sequence[Example]]
    """Examples from a file or folder. Raises DataError with the form it wants."""
    measure: Callable[[Any, Sequence[Example]], dict[str, float]]
    """Metrics of a model, which is a hearth.models.model.Model or a torch network dressed as one."""
    answer: Callable[[Any, Any], Any]
    """A model's answer to one golden input, as JSON holds it; `difference` takes two of them."""
    difference: Callable[[Any, Any], float]
    """How far two answers are apart; 0: the same."""
    brief: Callable[[Any], str]
    """An answer in a few words."""

    def loss(self, before: float, after: float) -> float:
        """How much worse `after` is."""
        return before - after if self.higher else after - before


def evaluation_of(task: str) -> Evaluation:
    """The evaluation of a task's family."""
    found: Evaluation = importlib.import_module(f"hearth_build.evaluations.{TASKS[task].function}").EVALUATION
    return found


def examples_from(path: Path, task: str) -> Sequence[Example]:
    """The examples in `path`. Raises DataError with what the task reads."""
    from hearth_build.data.datasets import DataError

    evaluation = evaluation_of(task)
    if not path.exists():
        raise DataError(f"{path} does not exist. The evaluation of {task} reads {evaluation.form}.")
    examples = evaluation.read(path)
    if not examples:
        raise DataError(f"{path} has no example. The evaluation of {task} reads {evaluation.form}.")
    return examples
