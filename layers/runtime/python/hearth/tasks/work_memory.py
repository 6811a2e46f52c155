"""How much memory the work of a request takes, estimated from its input before anything is decoded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from hearth.models.heads import Decoder
from hearth.models.model import Model
from hearth.models.preprocessing import MAX_SECONDS, AudioPreprocessing, ImagePreprocessing, TextPreprocessing
from hearth.ops.file_kinds import kind_of
from hearth.task_table import TaskRow

BYTES_PER_PIXEL = 12
"""Of a decoded picture: the decoder's own format, RGBA and RGB."""
BYTES_PER_TENSOR_VALUE = 32
"""Of a picture on the canvas of a network: float32, and the largest layers, which have several channels for each."""
BYTES_PER_TOKEN = 48 * 1024
"""Activations of an encoder of BERT's size for one token."""
BYTES_PER_SAMPLE = 24
"""Of a recording: blocks, resampled samples, features."""
MIN_BYTES = 1024 * 1024
EVEN_KINDS = ("WAV", "AIFF", "AU", "MP3")
"""Sound of which a second takes as many bytes if it is silent."""
EVEN_BYTES = 1000
"""Smallest number of bytes of a second of EVEN_KINDS. In other files ten minutes of silence can take two kilobytes."""


def estimate(row: TaskRow, model: Model[Any, Any], request: Any) -> int:
    """Bytes that the work of a request takes at most at one time, roughly."""
    preprocessing = model.manifest.preprocessing
    if isinstance(preprocessing, ImagePreprocessing):
        size = _image_bytes(row, preprocessing, model, request.inputs)
    elif isinstance(preprocessing, AudioPreprocessing):
        size = _audio_bytes(preprocessing, model, request.inputs)
    elif isinstance(preprocessing, TextPreprocessing):
        size = _text_bytes(preprocessing, model, request)
    else:
        size = sum(_lengths(msgspec.to_builtins(request))) * BYTES_PER_TENSOR_VALUE
    if getattr(request.parameters, "explain", False):
        from hearth.tasks.explanation.parts import COPIES

        size *= COPIES[row.parts or "words"]
    return max(size, MIN_BYTES)


def estimate_tensors(model: Model[Any, Any], feeds: Mapping[str, Any]) -> int:
    """As `estimate`, for the inputs of a graph."""
    if isinstance(model.manifest.preprocessing, TextPreprocessing):
        return (
            int(max((array.size for array in feeds.values() if array.dtype.kind == "i"), default=1)) * BYTES_PER_TOKEN
        )
    return sum(map(_count, feeds.values())) * BYTES_PER_TENSOR_VALUE + MIN_BYTES


def _count(value: Any) -> int:
    """The number of values of a tensor, a sequence or a map."""
    return int(value.size) if isinstance(value, np.ndarray) else sum(_lengths(value), 1)


def _image_bytes(row: TaskRow, preprocessing: ImagePreprocessing, model: Model[Any, Any], inputs: Any) -> int:
    """Pictures are decoded one at a time; their tensors are together in memory."""
    from hearth.ops.vision.images import MAX_PIXELS, count_pixels

    files = [inputs] if isinstance(inputs, bytes) else list(inputs)
    limit = model.manifest.limits.pixels or MAX_PIXELS
    pixels = limit if row.input == "video" else max((count_pixels(file) for file in files), default=0)
    rows = 1 if row.input == "video" else min(len(files), model.manifest.limits.batch)
    tensor = rows * len(preprocessing.mean) * preprocessing.width * preprocessing.height
    return min(pixels, limit) * BYTES_PER_PIXEL + tensor * BYTES_PER_TENSOR_VALUE


def _audio_bytes(preprocessing: AudioPreprocessing, model: Model[Any, Any], inputs: Any) -> int:
    """The length is known only after decoding."""
    seconds: float = model.manifest.limits.seconds or MAX_SECONDS
    if kind_of(inputs) in EVEN_KINDS:
        seconds = min(seconds, len(inputs) / EVEN_BYTES)
    return int(seconds * preprocessing.rate) * BYTES_PER_SAMPLE


def _text_bytes(preprocessing: TextPreprocessing, model: Model[Any, Any], request: Any) -> int:
    """A token has at least one character; texts are truncated, or refused, at the context of the model."""
    lengths = list(_lengths(msgspec.to_builtins(request)))
    context = preprocessing.max_tokens
    tokens = sum(min(length, context) for length in lengths)
    head = model.manifest.head
    if isinstance(head, Decoder):
        # The cache is allocated for all tokens; activations are those of one chunk.
        layer = 2 * head.kv_heads * head.head_size * 4
        return context * head.layers * layer + min(tokens, 128) * BYTES_PER_TOKEN
    return tokens * BYTES_PER_TOKEN


def _lengths(value: Any) -> Iterator[int]:
    """The numbers of characters of all texts in a document; other values count as one."""
    if isinstance(value, str):
        yield len(value)
    elif isinstance(value, int | float):
        yield 1
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _lengths(item)
    elif isinstance(value, np.ndarray):
        yield value.size
    elif isinstance(value, list):
        for item in value:
            yield from _lengths(item)
