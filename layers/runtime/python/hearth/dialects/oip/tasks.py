"""The view of each task."""

from __future__ import annotations

from hearth.dialects.oip import sights, views
from hearth.dialects.oip.tensors import DATATYPES
from hearth.dialects.oip.wire import Spec
from hearth.manifest import Manifest, Tensor

VIEWS: dict[str, views.View] = {
    "text-classification": views.Scores(),
    "zero-shot-classification": views.ZeroShot(),
    "token-classification": views.View(),
    "fill-mask": views.View(),
    "question-answering": views.Questions(),
    "feature-extraction": views.Vectors(),
    "sentence-similarity": views.Likeness(),
    "text-generation": views.GeneratedTexts(),
    "translation": views.Written(),
    "image-classification": views.Pictures(),
    "object-detection": sights.Detections(),
    "object-tracking": sights.Tracks(),
    "automatic-speech-recognition": views.Speech(),
}
RESPONSE = "response"
"""The output that every task has: the native answer of each item as JSON."""


def specs(tensors: tuple[Tensor, ...]) -> tuple[Spec, ...]:
    """Of a bare graph."""
    return tuple(
        Spec(
            tensor.name, DATATYPES[tensor.dtype], tuple(-1 if isinstance(size, str) else size for size in tensor.shape)
        )
        for tensor in tensors
    )


def signature(manifest: Manifest, task: str, role: str = "") -> tuple[tuple[Spec, ...], tuple[Spec, ...]]:
    """What goes in and what comes out: of a graph, or of a task's whole pipeline."""
    if role:
        graph = manifest.graphs[role]
        return specs(graph.inputs), specs(graph.outputs)
    view = VIEWS[task]
    inputs = tuple(Spec(name, "BYTES", (-1,)) for name in view.inputs)
    return inputs, (Spec(RESPONSE, "BYTES", (-1,)), *view.outputs(manifest))
