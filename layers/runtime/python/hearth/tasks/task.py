"""What a function tells the runtime of its tasks; every dialect and every event ends in a task's `predict`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from hearth.errors import NotFound

if TYPE_CHECKING:
    from hearth.tasks.generation import Piece


class Task(msgspec.Struct, frozen=True):
    id: str
    """As in the manifest, e.g. `text-classification`."""
    request: type[Any]
    """A msgspec Struct with `inputs` and `parameters`."""
    response: Any
    predict: Callable[[str, Any], Any]
    """(model name, request) -> response."""
    example: dict[str, Any]
    """A request for the documentation."""
    binary: bool = False
    """Whether a body that is not JSON is itself the input."""
    stream: Callable[[str, Any], Iterator[Piece]] | None = None
    """As `predict`, token by token, for tasks whose requests have `stream`."""
    serves: tuple[str, ...] = ()
    """Tasks of manifests whose models can answer this one beside its own, as a detector can be asked for tracks."""

    def takes(self, task: str) -> bool:
        return task == self.id or task in self.serves


def choose(tasks: Sequence[Task], name: str, made_for: str, asked: str = "") -> Task:
    """Who answers for model `name`, whose manifest says `made_for`: the task that was `asked`, else its own, else one
    that serves it. Raises NotFound."""
    able = [task for task in tasks if task.takes(made_for) and asked in ("", task.id)]
    if not able:
        wanted = f" for {asked}" if asked else ""
        raise NotFound(f"Model {name} is not served{wanted} by this function; GET /models lists what there is")
    return next((task for task in able if task.id == made_for), able[0])
