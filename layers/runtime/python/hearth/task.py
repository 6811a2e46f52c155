"""What a function tells the runtime of its task; every dialect and every event ends in `predict`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Task:
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
