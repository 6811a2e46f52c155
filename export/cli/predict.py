"""Runs one prediction for `hearth predict` and `hearth explain`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hearth.errors import BadRequest
from hearth.tasks.task import Prediction, Task

PATH = re.compile(r"(?:\.{0,2}|~)/.*|[^\s{\[]*(?:[/\\][^\s]*|\.[A-Za-z][A-Za-z0-9]{0,4})", re.DOTALL)
"""An input of `hearth predict` that looks like a path: it has a slash or a suffix, and no spaces."""


def predict_one(
    store: str,
    name: str,
    value: str,
    task: str,
    parameters: str | None = None,
    prepare: Callable[[Task, Any], Any] = lambda task, request: request,
) -> tuple[Task, Any, Prediction]:
    """Run a model of a store on what the argument INPUT stands for: the task, its request, and the prediction.

    `parameters` is JSON; `prepare` changes the request before it runs.
    """
    from hearth import strict_json
    from hearth.models.cache import warm_cache
    from hearth.task_table import TASKS
    from hearth.tasks.payload import read_object
    from hearth.tasks.task import open_model
    from hearth_build.release.served import tasks_of

    if task and task not in TASKS:
        raise BadRequest(f"--task must be one of {', '.join(TASKS)}.")
    os.environ["HEARTH_STORE"] = store
    with logging_to_stderr():
        resolved = warm_cache().resolve(name)
        opened, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
        with lease as model:
            data = read_input(value, takes_text=not opened.row.binary)
            fields = {} if parameters is None else {"parameters": strict_json.loads(parameters.encode())}
            request = prepare(opened, read_object(opened, data, fields))
            return opened, request, opened.predict(model, request)


def read_input(value: str, *, takes_text: bool) -> bytes:
    """The file, the standard input (-), the JSON request or, if the task takes one, the text that INPUT stands for.

    Raises BadRequest for a path without a file.
    """
    if value == "-":
        return sys.stdin.buffer.read()
    try:
        is_file, is_folder = Path(value).is_file(), Path(value).is_dir()
    except (OSError, ValueError):  # too long for a path, for example
        is_file = is_folder = False
    if is_file:
        return Path(value).read_bytes()
    if is_folder and PATH.fullmatch(value):
        raise BadRequest(f"{value} is a folder. Use `hearth batch` for all of its files.")
    is_json = value.lstrip().startswith("{")
    if takes_text and PATH.fullmatch(value) and not is_json:
        raise BadRequest(f"There is no file {value}. Send a text that looks like a path by standard input (-).")
    if not takes_text and not is_json:
        raise BadRequest(f"There is no file {value}.")
    return value.encode()


@contextmanager
def logging_to_stderr() -> Iterator[None]:
    """Send log lines to standard error, so that standard output contains only the model's output."""
    from hearth.telemetry.log import HANDLER

    HANDLER.stream = sys.stderr
    try:
        yield
    finally:
        HANDLER.stream = None
