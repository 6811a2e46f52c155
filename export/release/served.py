"""What a store serves: a model's manifest, and the tasks of the function that answers it."""

from __future__ import annotations

import importlib

from hearth.models.manifest import Manifest
from hearth.models.registry import Registry
from hearth.storage.base import Store
from hearth.task_table import TASKS
from hearth.tasks.task import Task


def manifest_of(store: Store, model: str) -> Manifest:
    """Of the version that a name means now. Raises as Registry.resolve and Registry.manifest."""
    return Registry(store).resolve(model).manifest


def tasks_of(task: str) -> tuple[Task, ...]:
    """Of the function that has `task`."""
    found: tuple[Task, ...] = importlib.import_module(f"hearth_functions.{TASKS[task].function}.app").TASKS
    return found
