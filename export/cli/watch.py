"""`hearth watch`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from hearth.errors import BadRequest
from hearth.storage.open import open_store
from hearth_build import ZOO
from hearth_build.cli.batch import errors_only
from hearth_build.cli.suggestions import file_near, similar_models

POLL_SECONDS = 1.0


def watch(
    folder: Annotated[Path, typer.Argument(help="The folder in which files land, also in its subfolders.")],
    model: Annotated[str, typer.Argument(help="A model: name, name@version or name@alias.")],
    store: Annotated[str, typer.Option(envvar="HEARTH_STORE", help="The store of the model.")] = ZOO.as_uri(),
    output: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    once: Annotated[bool, typer.Option("--once", help="Answer the files that are there, and end.")] = False,
) -> None:
    """Answer every file that lands in a folder, once, and print a line of JSON for each: key, label and score.

    Results are written to the output folder; files that have a result there are not answered again. With --once, the
    exit status is 1 if a file could not be answered.
    """
    from hearth.async_inference.announcements import describe
    from hearth.async_inference.batch import BatchJob, Item
    from hearth.async_inference.results import Result
    from hearth_build.release.served import manifest_of, tasks_of

    if not folder.is_dir():
        problem = "is not a folder." if folder.exists() else f"does not exist.{file_near(folder)}"
        raise BadRequest(f"{folder} {problem}")
    if output.resolve().is_relative_to(folder.resolve()):
        raise BadRequest(f"Results must not be written below the inputs: {output} is in {folder}")
    os.environ["HEARTH_STORE"] = store
    with similar_models(store, model):
        task = manifest_of(open_store(store), model).task
    failed = False
    if sys.stdin.isatty() and not once:
        print(f"Watching {folder}; results go to {output}. Ctrl-C ends.", file=sys.stderr)
    source, results = open_store(folder.resolve().as_uri()), open_store(output.resolve().as_uri())
    job = BatchJob(tasks_of(task), model, source, results, "")
    with errors_only():
        for name in _arrivals(folder, output, once=once):
            failure = job.process(Item(name))
            if failure:
                failed = True
                line = msgspec.json.encode(failure)
            else:
                result = msgspec.json.decode(results.get(job.result_path(name)), type=Result)
                line = msgspec.json.encode(describe(result, task))
            print(line.decode(), flush=True)
    if failed:
        raise typer.Exit(1)


def _arrivals(folder: Path, output: Path, *, once: bool) -> Iterator[str]:
    """The paths below `folder` of files without a result, once each, when they are no longer being written."""
    answered, sizes = set[str](), dict[str, int]()
    while True:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name, size = str(path.relative_to(folder)), path.stat().st_size
            is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if is_hidden or name in answered or (output / f"{name}.json").exists():
                continue
            if once or sizes.get(name) == size:
                answered.add(name)
                yield name
            sizes[name] = size
        if once:
            return
        time.sleep(POLL_SECONDS)
