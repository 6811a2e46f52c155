"""The shared function: serves every task. A task's module is imported when a model of it is first called.

Its code is this whole folder, in which each task has its own; a dedicated function's code is the folder of its task.
"""

from __future__ import annotations

from hearth import task_table
from hearth.aws_lambda.handler import create_handler
from hearth.tasks.task import TaskReference

TASKS = tuple(
    TaskReference(row.id, f"{__name__.removesuffix('app')}{row.function}.app") for row in task_table.TASKS.values()
)
handler = create_handler(TASKS)
