"""What a function tells the runtime of its tasks. Every protocol and every event ends in a task's `predict`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hearth.errors import BadRequest, NotFound
from hearth.models.cache import Lease, warm_cache
from hearth.models.model import Model
from hearth.models.registry import Resolved
from hearth.task_table import TASKS, TaskRow

if TYPE_CHECKING:
    from hearth.tasks.generation import Generation


class Usage(msgspec.Struct):
    """What an answer took, for the answer itself and for the log. Grows while a stream is written."""

    items: int = 1
    """Texts, pictures, recordings."""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """Of sound."""
    seed: int | None = None
    """The one that would repeat a sampled answer."""

    def add(self, other: Usage) -> None:
        """Count another answer of the same request."""
        self.items += other.items
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.seconds += other.seconds
        self.seed = other.seed if self.seed is None else self.seed


class Prediction(msgspec.Struct, frozen=True):
    """What a task's `predict` returns."""

    output: Any
    """The task's response."""
    usage: Usage


class Task(msgspec.Struct, frozen=True):
    id: str
    """A key of the task table."""
    request: type[Any]
    """A msgspec Struct with `inputs` and `parameters`."""
    response: Any
    predict: Callable[[Model[Any, Any], Any], Prediction]
    """(model, request) -> prediction."""
    example: dict[str, Any]
    """A request for the documentation."""
    stream: Callable[[Model[Any, Any], Any], Generation] | None = None
    """As `predict`, token by token, for tasks whose requests have `stream`."""

    @property
    def row(self) -> TaskRow:
        return TASKS[self.id]

    def generate(self, model: Model[Any, Any], request: Any) -> Generation:
        """Start a stream. Raises BadRequest where the task has none, and what encoding the request raises."""
        if self.stream is None:
            raise BadRequest(f"{self.id} cannot be streamed")
        return self.stream(model, request)

    def answers_for(self, task: str) -> bool:
        """Whether it answers for models that were made for `task`."""
        return task == self.id or task in self.row.models_of


def choose(tasks: Sequence[Task], resolved: Resolved, asked: str = "") -> Task:
    """The task that answers for a model: the one that is `asked` for, or the model's own, or else one that serves it.

    Raises NotFound.
    """
    made_for = resolved.manifest.task
    able = [task for task in tasks if task.answers_for(made_for) and asked in ("", task.id)]
    if not able:
        purpose = f" for {asked}" if asked else ""
        raise NotFound(
            f"Model {resolved.name} is not served{purpose} by this function; GET /models lists what there is"
        )
    return next((task for task in able if task.id == made_for), able[0])


def open_model(tasks: Sequence[Task], resolved: Resolved, asked: str = "") -> tuple[Task, Lease]:
    """The task that answers for a model, and the model, loaded. Raises what `choose` and `Cache.open` raise."""
    task = choose(tasks, resolved, asked)
    return task, warm_cache().open(resolved)
