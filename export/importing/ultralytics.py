"""What the metadata of Ultralytics' exports say: task, labels, size, and how pictures are prepared."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hearth_build.importing.base import ImportOptions, Notes
from hearth_build.recipe import RecipeError

TASKS = {
    "detect": "object-detection",
    "segment": "object-detection",
    "pose": "object-detection",
    "obb": "object-detection",
    "classify": "image-classification",
}
"""Our task by theirs: of masks, key points and angles the boxes are served."""


@dataclass(frozen=True)
class Metadata:
    task: str = ""
    """Theirs; empty if another tool exported the graph."""
    labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    """Width and height."""
    is_selected: bool = False
    """Whether the graph suppresses overlapping boxes itself."""


def parse(metadata: Mapping[str, str]) -> Metadata:
    """The metadata of a graph; YOLOv5's own exports have the names of classes only."""
    values = {name: literal(metadata.get(name, "")) for name in ("names", "imgsz", "args", "end2end")}
    names, size, arguments = values["names"], values["imgsz"], values["args"]
    labels = tuple(map(str, names.values() if isinstance(names, dict) else names)) if names else ()
    if metadata.get("author") != "Ultralytics" or metadata.get("task") not in TASKS:
        return Metadata(labels=labels)
    is_selected = bool(values["end2end"]) or (isinstance(arguments, dict) and bool(arguments.get("nms")))
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (0, 0)
    return Metadata(metadata["task"], labels, (width, height) if width and height else None, is_selected)


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None


def with_metadata(options: ImportOptions, metadata: Metadata, notes: Notes) -> ImportOptions:
    """The flags, with those that are not given taken from the metadata. Raises RecipeError for what is not served."""
    if not metadata.task:
        return options
    if metadata.task == "obb" and metadata.is_selected:
        raise RecipeError("The graph selects rotated boxes; export it without nms, or import it with --task tensors.")
    task = TASKS[metadata.task]
    values: dict[str, Any] = {"task": task, "channels": "RGB"}
    if options.mean is None:
        values["pixels"] = "unit"
    if options.resize is None:
        values["resize"] = "letterbox" if task == "object-detection" else "shortest-edge-center-crop"
    chosen = {name: value for name, value in values.items() if getattr(options, name) is None}
    if chosen.get("resize") == "letterbox":
        chosen["centred"] = True
    settings = ", ".join(f"--{name} {value}" for name, value in chosen.items() if name != "centred")
    if settings:
        notes.guesses.append(f"from the metadata of Ultralytics: {settings}")
    if metadata.task in ("segment", "pose", "obb"):
        rest = {"segment": "masks are", "pose": "key points are", "obb": "angles are"}[metadata.task]
        upright = ", upright ones around the rotated ones" if metadata.task == "obb" else ""
        notes.guesses.append(f"the boxes are served{upright}; the {rest} not (--task tensors for all outputs)")
    return replace(options, **chosen)
