"""Runs one prediction for `hearth predict` and `hearth explain`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hearth.tasks.task import Prediction, Task


def predict_one(
    store: str, name: str, value: str, task: str, prepare: Callable[[Task, Any], Any]
) -> tuple[Task, Any, Prediction]:
    """Run a model of a store on a text, a JSON request or a file: the task, its request, and the prediction.

    `prepare` changes the request before it runs.
    """
    from hearth import strict_json
    from hearth.errors import BadRequest
    from hearth.models.cache import warm_cache
    from hearth.task_table import TASKS
    from hearth.tasks.task import open_model
    from hearth_build.release.served import tasks_of

    if task and task not in TASKS:
        raise BadRequest(f"--task must be one of {', '.join(TASKS)}.")
    os.environ["HEARTH_STORE"] = store
    with logging_to_stderr():
        resolved = warm_cache().resolve(name)
        opened, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
        with lease as model:
            document: dict[str, Any] = {"inputs": value}
            if value.startswith("{"):
                document = strict_json.loads(value.encode())
            elif opened.row.binary:
                document["inputs"] = Path(value).read_bytes()
            request = prepare(opened, strict_json.convert(document, opened.request))
            return opened, request, opened.predict(model, request)


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Send log lines to standard error, so that standard output contains only the model's output."""
    from hearth.telemetry.log import HANDLER

    HANDLER.stream = sys.stderr
    try:
        yield
    finally:
        HANDLER.stream = None
