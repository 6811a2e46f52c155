"""What a misspelt name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import typer

from hearth.errors import NotFound


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The one of `names` that is closest to `name`, as a question after a space; empty if none is close."""
    by_lower_case = {other.lower(): other for other in names}
    close = get_close_matches(name.lower(), by_lower_case, n=1)
    return f" Did you mean {by_lower_case[close[0]]}?" if close else ""


def file_near(path: Path) -> str:
    """The file or folder beside a missing `path` whose name is closest, as `did_you_mean`."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return ""
    return did_you_mean(path.name, names)


def check_task(task: str) -> None:
    """Raises BadParameter unless `task` is empty or a key of the task table."""
    from hearth.task_table import TASKS

    if task and task not in TASKS:
        raise typer.BadParameter(
            f"There is no task {task}.{did_you_mean(task, TASKS)} The tasks are {', '.join(TASKS)}."
        )


@contextmanager
def similar_models(store_uri: str, name: str) -> Iterator[None]:
    """Add the closest model, alias or version of the store to a NotFound of the block, which looks for `name`."""
    try:
        yield
    except NotFound as error:
        from hearth.models.registry import Registry, models_with_aliases, published_versions
        from hearth.storage.open import open_store

        store = open_store(store_uri)
        model, _, suffix = name.partition("@")
        versions = published_versions(store, model)
        if not versions:
            advice = did_you_mean(model, models_with_aliases(store))
            raise NotFound(f"There is no model {model} in {store_uri}.{advice} `hearth models` lists them.") from error
        try:
            aliases = sorted(Registry(store).aliases(model))
        except NotFound:
            aliases = []
        if suffix not in versions and (suffix or "prod") not in aliases:
            names = [f"{model}@{each}" for each in (*aliases, *versions)]
            kind = "version" if suffix.isdecimal() else "alias"
            missing = f"{model} has no {kind} {suffix or 'prod'}.{did_you_mean(name, names)}"
            raise NotFound(f"{missing} There is {', '.join(names)}.") from error
        raise
