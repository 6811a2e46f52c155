"""`hearth predict`, and the prediction of `hearth explain`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hearth_build import ZOO
from hearth_build.cli.options import ModelArgument, StoreOption, TaskOption
from hearth_build.cli.output import print_json
from hearth_build.cli.readable import readable
from hearth_build.cli.suggestions import check_task, file_near, similar_models

if TYPE_CHECKING:
    from hearth.tasks.task import Prediction, Task

InputArgument = Annotated[
    str, typer.Argument(metavar="INPUT", help="A text, a JSON request, a file's path, or - for standard input.")
]
ParametersOption = Annotated[str | None, typer.Option(help="Parameters as JSON, e.g. '{\"top_k\": 3}'.")]
PATH = re.compile(r"(?:\.{0,2}|~)/.*|[^\s{\[]*(?:[/\\][^\s]*|\.[A-Za-z][A-Za-z0-9]{0,4})", re.DOTALL)
"""An input of `hearth predict` that looks like a path: it has a slash or a suffix, and no spaces."""


def predict(
    name: ModelArgument,
    value: InputArgument,
    store: StoreOption = ZOO.as_uri(),
    task: TaskOption = "",
    parameters: ParametersOption = None,
    draw: Annotated[
        Path | None, typer.Option(help="Draw the boxes, segments or tracks into this file, .jpg or for films .mp4.")
    ] = None,
    json: Annotated[
        bool | None,
        typer.Option("--json/--no-json", help="Print JSON. Default: only if the output is not a terminal."),
    ] = None,
) -> None:
    """Run a model on one input and print the output."""
    import msgspec

    _, request, prediction = predict_one(store, name, value, task, parameters, _annotated if draw else _as_it_is)
    output = msgspec.to_builtins(prediction.output, builtin_types=(bytes,))
    if draw:
        drawn = output.pop("picture", None) or output.pop("video")
        draw.write_bytes(drawn)
        typer.echo(f"Wrote {draw}", err=True)
    if json if json is not None else not sys.stdout.isatty():
        print_json(output)
    else:
        print("\n".join(readable(output)))
        boxes = output.get("boxes") if isinstance(output, dict) else output
        if boxes == [] and hasattr(request.parameters, "threshold"):
            advice = """No object reaches the minimum score; lower it: --parameters '{"threshold": 0.1}'"""
            typer.echo(advice, err=True)


def _as_it_is(task: Task, request: Any) -> Any:
    return request


def _annotated(task: Task, request: Any) -> Any:
    """The request for an output with the picture or the film. Raises BadParameter if the task has none."""
    from msgspec import structs

    if not hasattr(request.parameters, "annotate"):
        raise typer.BadParameter(f"--draw is for pictures with boxes or segments and for films, not for {task.id}.")
    return structs.replace(request, parameters=structs.replace(request.parameters, annotate=True))


def predict_one(
    store: str,
    name: str,
    value: str,
    task: str,
    parameters: str | None,
    prepare: Callable[[Task, Any], Any],
) -> tuple[Task, Any, Prediction]:
    """Run a model of a store on INPUT: the task, its request, and the prediction.

    `prepare` changes the request before it runs. Raises BadParameter.
    """
    from hearth import strict_json
    from hearth.models.cache import warm_cache
    from hearth.tasks.payload import read_object
    from hearth.tasks.task import open_model
    from hearth_build.release.served import tasks_of

    check_task(task)
    fields = {} if parameters is None else {"parameters": strict_json.loads(parameters.encode())}
    with _logging_to_stderr(), _published(store, name) as (store, name):
        os.environ["HEARTH_STORE"] = store
        with similar_models(store, name):
            resolved = warm_cache().resolve(name)
        opened, lease = open_model(tasks_of(task or resolved.manifest.task), resolved, task)
        with lease as model:
            data = read_input(value, takes_text=not opened.row.binary)
            request = prepare(opened, read_object(opened, data, fields))
            return opened, request, opened.predict(model, request)


def read_input(value: str, *, takes_text: bool) -> bytes:
    """The file, the standard input (-), the JSON request or, if the task takes one, the text that INPUT stands for.

    Raises BadParameter for a path without a file.
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
        raise typer.BadParameter(f"{value} is a folder. Use `hearth batch` for all of its files.")
    is_json = value.lstrip().startswith("{")
    if takes_text and PATH.fullmatch(value) and not is_json:
        advice = "Send a text that looks like a path by standard input (-)."
        raise typer.BadParameter(f"There is no file {value}.{file_near(Path(value))} {advice}")
    if not takes_text and not is_json:
        raise typer.BadParameter(f"There is no file {value}.{file_near(Path(value))}")
    return value.encode()


@contextmanager
def _published(store: str, name: str) -> Iterator[tuple[str, str]]:
    """The store and the name of a model; for an artifact's folder, such as build/NAME/artifact, those of a store with
    this artifact alone, which lasts as long as the block. Raises BadParameter for another folder."""
    folder = Path(name).expanduser()
    if "/" not in name and not (folder / "manifest.json").is_file():
        yield store, name
        return
    if not (folder / "manifest.json").is_file():
        nested = next((path.parent for path in sorted(folder.glob("*/manifest.json"))), None)
        if not folder.exists():
            raise typer.BadParameter(f"There is no folder {name}.{file_near(folder)}")
        advice = f"Did you mean {nested}?" if nested else f"Make one: hearth import {name}"
        raise typer.BadParameter(f"{name} has no manifest.json, so it is not an artifact. {advice}")
    import tempfile

    from hearth.models.manifest import parse

    manifest = parse((folder / "manifest.json").read_bytes())
    with tempfile.TemporaryDirectory(prefix="hearth-") as root:
        (Path(root) / manifest.model).mkdir()
        (Path(root) / manifest.model / manifest.version).symlink_to(folder.resolve())
        yield Path(root).as_uri(), f"{manifest.model}@{manifest.version}"


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Send log lines to standard error, so that standard output contains only the model's output."""
    from hearth.telemetry.log import HANDLER

    HANDLER.stream = sys.stderr
    try:
        yield
    finally:
        HANDLER.stream = None
