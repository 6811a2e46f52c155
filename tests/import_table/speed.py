"""How fast an imported graph is beside ONNX Runtime on the plain export."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import onnxruntime

from hearth.models.model import Model
from hearth_build.onnx_export.export import network_of
from hearth_build.onnx_export.turns import median_seconds
from hearth_build.recipe import Recipe

ROUNDS = 41
Feeds = dict[str, Any]


class Recorder:
    """Keeps the feeds with which a model's main graph was run last."""

    def __init__(self, model: Model[Any, Any]) -> None:
        self.feeds: Feeds | None = None
        self.run = model.run
        model.run = self  # type: ignore[method-assign, assignment]

    def __call__(self, feeds: Feeds, graph: str = "main") -> Any:
        if graph == "main":
            self.feeds = feeds
        return self.run(feeds, graph)


def times_as_fast(recorder: Recorder, recipe: Recipe, work: Path, path: Path) -> float | None:
    """The time of the plain graph divided by that of ours, on one thread, as medians of alternating runs.

    The plain graph is the file itself or, of a folder, what the exporter writes of transformers' own attention; ONNX
    Runtime optimises it as it loads it. None for models of several graphs, and where ours has other inputs.
    """
    if recorder.feeds is None or set(recipe.graphs) != {"main"}:
        return None
    plain = path
    if path.is_dir():
        plain = work / "plain" / "model.onnx"
        plain.parent.mkdir()
        with mock.patch("hearth_build.onnx_export.attention.fused", return_value=nullcontext()):
            recipe.graphs["main"](network_of(recipe, work), plain)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    feeds, names = recorder.feeds, [value.name for value in session.get_inputs()]
    if len(names) != len(feeds):
        return None
    given = feeds if set(names) == set(feeds) else dict(zip(names, feeds.values(), strict=True))
    try:
        session.run(None, given)
    except Exception:  # other types: the adapted graph casts them
        return None
    plain_seconds, seconds = median_seconds([lambda: session.run(None, given), lambda: recorder.run(feeds)], ROUNDS)
    return plain_seconds / seconds
