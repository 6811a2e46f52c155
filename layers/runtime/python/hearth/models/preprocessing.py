"""How a request's content becomes the tensors of a graph, as the manifest says it for each kind of content."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from hearth.models.fields import FilePath, Positive, Strict

MAX_SECONDS = 600
"""Largest duration of a recording or a film, unless the manifest has a limit."""


class TextPreprocessing(Strict, frozen=True, tag="text", tag_field="kind"):
    tokenizer: FilePath
    """A `tokenizers` JSON file."""
    max_tokens: Positive
    """Longer texts are truncated to this number of tokens, special tokens included."""
    pad_id: int = 0


class ImagePreprocessing(Strict, frozen=True, tag="image", tag_field="kind"):
    width: Positive
    height: Positive
    resize: Literal["stretch", "shortest-edge-center-crop", "letterbox", "keep-aspect"]
    """`keep-aspect`: no crop and no padding; the shorter side of the picture gets the length of the canvas's shorter
    side, or less if its longer side would exceed the canvas's longer side."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """(x / scale - mean) / std, for each channel in `channels` order."""
    scale: Annotated[float, Meta(gt=0)] = 255.0
    fill: Annotated[int, Meta(ge=0, le=255)] = 114
    """Grey value of a letterbox's empty area."""
    centred: bool = False
    """Whether a letterbox has the picture in its centre, or in its upper left corner."""
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    """`L`: one channel of grey."""
    layout: Literal["NCHW"] = "NCHW"
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"] = "bilinear"
    before_crop: tuple[Positive, ...] = ()
    """Size before a center crop: width and height of a stretched picture, or the shortest edge, such as 256 for a crop
    of 224. Empty: the picture just covers the canvas."""
    crop_rounding: Literal["even", "down"] = "even"
    """Where a crop cannot lie in the middle: `even` as torchvision and timm round, `down` as transformers."""

    def __post_init__(self) -> None:
        count = 1 if self.channels == "L" else 3
        if len(self.mean) != count or len(self.std) != count or 0 in self.std:
            raise ValueError(f"`mean` and `std` need {count} numbers for {self.channels}, and none in `std` may be 0")
        sizes = {"shortest-edge-center-crop": (0, 1), "stretch": (0, 2)}.get(self.resize, (0,))
        if len(self.before_crop) not in sizes:
            raise ValueError(f"`before_crop` has {len(self.before_crop)} numbers, which does not fit {self.resize}")


class AudioPreprocessing(Strict, frozen=True, tag="audio", tag_field="kind"):
    """Log-mel features: frames of `window` samples every `hop`, `fft` points, `mels` bands from `low` to `high` Hz."""

    rate: Positive
    """Samples per second; other rates are resampled."""
    window: Positive
    hop: Positive
    fft: Positive
    mels: Positive
    low: float
    high: float
    normalise: Literal["utterance", "none"] = "utterance"
    """Each band, or the waveform, to zero mean and unit variance over the utterance."""
    features: Literal["log-mel", "whisper", "waveform"] = "log-mel"
    """`whisper`: Whisper's own log-mel features; `waveform`: the samples themselves, of which a frame of the output
    covers `window` every `hop`."""


class Column(Strict, frozen=True):
    """A column of a table, which is a column of the graph's tensor `input`, in the order of `columns`."""

    name: str
    input: str


class TablePreprocessing(Strict, frozen=True, tag="table", tag_field="kind"):
    columns: tuple[Column, ...]


Preprocessing = TextPreprocessing | ImagePreprocessing | AudioPreprocessing | TablePreprocessing
