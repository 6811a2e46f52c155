"""The view of each task."""

from __future__ import annotations

from hearth.models.manifest import Manifest, Tensor
from hearth.protocols.open_inference import codecs, vision_codecs
from hearth.protocols.open_inference.schema import Spec
from hearth.protocols.open_inference.tensors import DATATYPES

VIEWS: dict[str, codecs.View] = {
    "text-classification": codecs.Scores(),
    "zero-shot-classification": codecs.ZeroShot(),
    "token-classification": codecs.View(),
    "fill-mask": codecs.View(),
    "question-answering": codecs.Questions(),
    "feature-extraction": codecs.Vectors(),
    "sentence-similarity": codecs.Likeness(),
    "text-generation": codecs.GeneratedTexts(),
    "translation": codecs.Written(),
    "image-classification": codecs.Pictures(),
    "object-detection": vision_codecs.Detections(),
    "object-tracking": vision_codecs.Tracks(),
    "automatic-speech-recognition": codecs.Speech(),
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
