"""The inputs and outputs of each task, and of bare graphs."""

from __future__ import annotations

import functools

from hearth.models.manifest import Manifest, Tensor
from hearth.protocols.open_inference import codecs, vision_codecs
from hearth.protocols.open_inference.schema import TensorMetadata
from hearth.protocols.open_inference.tensors import DATATYPES
from hearth.task_table import TASKS, Codec

CODECS: dict[Codec, type[codecs.JsonCodec]] = {
    "json": codecs.JsonCodec,
    "scores": codecs.ScoresCodec,
    "candidate_scores": codecs.CandidateScoresCodec,
    "answers": codecs.AnswersCodec,
    "vectors": codecs.VectorsCodec,
    "similarities": codecs.SimilaritiesCodec,
    "translations": codecs.TextsCodec,
    "summaries": codecs.SummariesCodec,
    "texts": codecs.WrittenTextsCodec,
    "rankings": codecs.RankingsCodec,
    "generated_texts": codecs.GeneratedTextsCodec,
    "detections": vision_codecs.DetectionsCodec,
    "tracks": vision_codecs.TracksCodec,
    "transcripts": codecs.TranscriptsCodec,
    "masks": vision_codecs.PicturesCodec,
    "table": codecs.TableCodec,
    "table_scores": codecs.TableScoresCodec,
    "tensors": codecs.JsonCodec,
}
RESPONSE = "response"
"""Name of the output that every task has: the task's response for each item, as JSON."""
EXPLANATION = "explanation"
"""Name of the output with the explanations of a request that asks for them, as JSON."""
Signature = tuple[tuple[TensorMetadata, ...], tuple[TensorMetadata, ...]]
"""Inputs and outputs."""


@functools.cache
def codec_of(task: str) -> codecs.JsonCodec:
    row = TASKS[task]
    return CODECS[row.codec](row)


def graph_signature(manifest: Manifest, role: str) -> Signature:
    graph = manifest.graphs[role]
    return _metadata(graph.inputs), _metadata(graph.outputs)


def task_signature(manifest: Manifest, task: str) -> Signature:
    codec = codec_of(task)
    return codec.input_tensors(manifest), (TensorMetadata(RESPONSE, "BYTES", (-1,)), *codec.outputs(manifest))


def _metadata(tensors: tuple[Tensor, ...]) -> tuple[TensorMetadata, ...]:
    """Sequences and maps are one text of JSON; a tensor with an unknown number of dimensions has one dynamic one."""
    return tuple(
        TensorMetadata(
            tensor.name,
            DATATYPES[tensor.dtype],
            (1,) if tensor.dtype == "json" else tuple(-1 if isinstance(size, str) else size for size in tensor.shape),
        )
        for tensor in tensors
    )
