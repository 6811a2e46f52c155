"""The interface between functions and the runtime. Every protocol and every event calls a task's `predict`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hearth import settings
from hearth.errors import BadRequest, NotFound
from hearth.models.cache import Lease, warm_cache
from hearth.models.model import Model
from hearth.models.registry import Resolved
from hearth.task_table import TASKS, TaskRow

if TYPE_CHECKING:
    from hearth.tasks.explanation.subjects import Subject
    from hearth.tasks.generation import Generation
    from hearth.tasks.schema import ExplainOptions


class Usage(msgspec.Struct):
    """Resources that a prediction used, for the response and the log. Updated while a stream is generated."""

    items: int = 1
    """Number of texts, pictures or recordings."""
    input_tokens: int = 0
    cached_tokens: int = 0
    """Input tokens whose keys and values were there from an earlier request."""
    output_tokens: int = 0
    seconds: float = 0.0
    """Duration of the sound."""
    seed: int | None = None
    """The seed with which a sampled answer can be repeated."""

    def add(self, other: Usage) -> None:
        """Add the usage of another prediction of the same request."""
        self.items += other.items
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
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
    """An example request for the documentation."""
    stream: Callable[[Model[Any, Any], Any], Generation] | None = None
    """As `predict`, but token by token, for tasks whose requests have a field `stream`."""
    subject: Callable[[Model[Any, Any], Any, ExplainOptions], Subject] | None = None
    """(model, request, options) -> what an explanation is of; None: `explanation.subjects` knows it."""

    @property
    def row(self) -> TaskRow:
        return TASKS[self.id]

    def generate(self, model: Model[Any, Any], request: Any) -> Generation:
        """Start a stream. Raises BadRequest if the task cannot stream, and what encoding the request raises."""
        if self.stream is None:
            raise BadRequest(f"{self.id} cannot be streamed")
        return self.stream(model, request)

    def load(self) -> Task:
        return self


def explainable(task: Task) -> Task:
    """The task whose predictions are explained where a request asks for it."""
    predict = task.predict

    def predict_or_explain(model: Model[Any, Any], request: Any) -> Prediction:
        if request.parameters.explain:
            from hearth.tasks.explanation import explain  # few requests ask for it

            return explain(task, model, request)
        return predict(model, request)

    return msgspec.structs.replace(task, predict=predict_or_explain)


def with_explanation(task: Task, request: Any, options: Any = True) -> Any:
    """The request with `explain`, by default with these options. Raises BadRequest for a task without explanations."""
    if task.row.parts is None:
        tasks = ", ".join(row.id for row in TASKS.values() if row.parts)
        raise BadRequest(f"{task.id} has no explanations; these tasks have them: {tasks}")
    explain = request.parameters.explain
    if explain:
        return request
    return msgspec.structs.replace(request, parameters=msgspec.structs.replace(request.parameters, explain=options))


class TaskReference(msgspec.Struct, frozen=True):
    """A task whose module is imported when a model of it is first called."""

    id: str
    """A key of the task table."""
    module: str
    """The module of its function, which has it in `TASKS`."""

    def load(self) -> Task:
        """Import the module. Raises what its import raises."""
        tasks: Sequence[Task] = importlib.import_module(self.module).TASKS
        return next(task for task in tasks if task.id == self.id)


Tasks = Sequence[Task | TaskReference]
"""The tasks that a process serves."""


def choose_task(tasks: Tasks, resolved: Resolved, task_id: str = "") -> Task:
    """The task that serves a model: the one with `task_id` if given, else the model's own, else another that serves it.

    Raises NotFound.
    """
    model_task, candidates = resolved.manifest.task, []
    for task in tasks:
        if task_id in ("", task.id):
            if task.id == model_task:
                return task.load()
            if model_task in TASKS[task.id].models_of:
                candidates.append(task)
    if not candidates:
        purpose = f" for {task_id}" if task_id else ""
        raise NotFound(
            f"Model {resolved.name} is not served{purpose} by this function; GET /models lists the available models"
        )
    return candidates[0].load()


def open_model(tasks: Tasks, resolved: Resolved, task_id: str = "") -> tuple[Task, Lease]:
    """Choose the task that serves a model, and load the model. Raises what `choose_task` and `Cache.open` raise."""
    task = choose_task(tasks, resolved, task_id)
    lease = warm_cache().open(resolved)
    if settings.get().watch or settings.get().capture:
        from hearth.tasks.answers import remembering  # only watched models need it

        task = remembering(task)
    return task, lease
