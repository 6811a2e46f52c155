"""What must agree for every task: its folder, the tasks of its function, its evaluation."""

from __future__ import annotations

import msgspec
import pytest

from hearth.task_table import TASKS
from hearth.tasks.task import Task
from hearth_build.cli.serve import tasks
from hearth_build.pipeline.evaluation import evaluation_of
from tests.support import ROOT
from tests.support.layers import FUNCTIONS, SHARED

FOLDERS = {path.parent.name for path in (ROOT / "functions").glob("*/app.py")}


def test_folders_layers_and_the_task_table_have_the_same_functions() -> None:
    assert {row.function for row in TASKS.values()} | {"catalog", "release"} == FOLDERS == set(FUNCTIONS) - {SHARED}
    assert sorted(task.id for task in tasks()) == sorted(TASKS)


@pytest.mark.parametrize("task", tasks(), ids=lambda task: task.id)
def test_a_task_has_an_example_that_it_accepts_and_an_evaluation(task: Task) -> None:
    msgspec.json.decode(msgspec.json.encode(task.example), type=task.request)
    assert set(task.row.models_of) <= set(TASKS)
    assert evaluation_of(task.id).metric
