"""Look up the manifest of a published model, and the tasks of the function that serves it."""

from __future__ import annotations

import importlib

from hearth.models.manifest import Manifest
from hearth.models.registry import Registry
from hearth.storage.base import Store
from hearth.task_table import TASKS
from hearth.tasks.task import Task


def manifest_of(store: Store, model: str) -> Manifest:
    """The manifest of the version that a name refers to now. Raises what Registry.resolve raises."""
    return Registry(store).resolve(model).manifest


def tasks_of(task: str) -> tuple[Task, ...]:
    """All tasks of the function that serves `task`."""
    tasks: tuple[Task, ...] = importlib.import_module(f"hearth_functions.{TASKS[task].function}.app").TASKS
    return tasks
