"""The shared function: it has every task, and imports the code of one when a model of it is called."""

from __future__ import annotations

import json
import subprocess
import sys

from hearth.task_table import TASKS
from hearth_functions import app

LIST = """
import json, sys
from hearth_functions import app
loaded = lambda: sorted(name for name in sys.modules if name.startswith("hearth_functions.") and name.count(".") == 2)
before = loaded()
app.TASKS[0].load()
print(json.dumps([before, loaded()]))
"""


def test_every_task_is_served_by_its_module() -> None:
    assert [task.id for task in app.TASKS] == list(TASKS)
    for reference in app.TASKS:
        task = reference.load()
        assert task.id == reference.id
        assert task.row is TASKS[reference.id]


def test_a_tasks_code_is_imported_when_it_is_needed() -> None:
    output = subprocess.run([sys.executable, "-c", LIST], capture_output=True, text=True, check=True).stdout
    before, after = json.loads(output.splitlines()[-1])
    assert before == []
    assert after == ["hearth_functions.text_classification.app"]
