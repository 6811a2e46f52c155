"""The manifest: all that is needed to serve an artifact, in one strict, versioned JSON file.

`schema()` gives the JSON Schema that is published as `manifest.schema.json` beside this file.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from hearth.errors import ManifestError

CHUNK = 8 * 1024 * 1024
"""Bytes of a file that one SHA-256 of `File.chunks` covers, and that one ranged read fetches."""

TASKS = (
    "text-classification",
    "image-classification",
)

Task = Literal["text-classification", "image-classification"]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Version = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
# One folder deep at most, no leading dot: nothing here can climb out of the artifact's folder.
FilePath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
Positive = Annotated[int, Meta(ge=1)]
DataType = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool", "string"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a manifest: immutable, and an unknown field is an error."""


class File(Strict, frozen=True):
    path: FilePath
    size: Annotated[int, Meta(ge=0)]
    """Bytes."""
    sha256: Sha256
    chunks: tuple[Sha256, ...] = ()
    """SHA-256 of each CHUNK bytes, for files longer than one CHUNK, so that ranges are checked as they arrive."""


class Tensor(Strict, frozen=True):
    name: str
    dtype: DataType
    shape: tuple[int | str, ...]
    """A string names a dimension that varies."""


class Graph(Strict, frozen=True):
    path: FilePath
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class TextPreprocessing(Strict, frozen=True, tag="text", tag_field="kind"):
    tokenizer: FilePath
    """A `tokenizers` JSON file."""
    max_tokens: Positive
    """Longer texts are cut here, special tokens included."""
    pad_id: int = 0


class ImagePreprocessing(Strict, frozen=True, tag="image", tag_field="kind"):
    width: Positive
    height: Positive
    resize: Literal["stretch", "shortest-edge-center-crop"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """(x / 255 - mean) / std, for each channel in `channels` order."""
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    resample: Literal["bilinear", "bicubic"] = "bilinear"


class Limits(Strict, frozen=True):
    """What a caller may send; checked before any work. None: does not apply to the task."""

    batch: Positive = 32
    characters: Positive | None = None
    pixels: Positive | None = None
    seconds: Positive | None = None


class Provenance(Strict, frozen=True):
    recipe: str
    command: str
    seed: int
    data: tuple[str, ...]
    """Name, licence and SHA-256 of what the model learnt from, a sentence each."""
    commit: str = ""
    seconds: float = 0.0
    """Wall-clock time of training on `machine`."""
    machine: str = ""
    parents: tuple[str, ...] = ()
    """Checkpoints that the model was distilled or imported from."""


class Quantization(Strict, frozen=True):
    method: Literal["none", "dynamic-int8", "static-int8"]
    details: str = ""


class Metrics(Strict, frozen=True):
    """Measured by `verify` on `dataset`: each metric of the torch model, the fp32 graph and the served graph."""

    dataset: str
    torch: dict[str, float]
    fp32: dict[str, float]
    served: dict[str, float]


class Manifest(Strict, frozen=True, kw_only=True):
    schema_version: Literal[1] = field(name="schema", default=1)
    model: Name
    version: Version
    task: Task
    files: tuple[File, ...]
    graphs: dict[str, Graph]
    """By role; every task has `main`."""
    preprocessing: TextPreprocessing | ImagePreprocessing
    labels: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    """What turns a classifier's logits into scores when the caller does not say."""
    limits: Limits = Limits()
    licence: str
    description: str
    provenance: Provenance
    quantization: Quantization
    metrics: Metrics

    def __post_init__(self) -> None:
        # msgspec reports a ValueError raised here as a ValidationError, so the words must name the field.
        listed = [file.path for file in self.files]
        if len(set(listed)) != len(listed):
            raise ValueError("`files` lists a path twice")
        if "manifest.json" in listed:
            raise ValueError("`files` must not list manifest.json itself")
        for role, graph in self.graphs.items():
            if graph.path not in listed:
                raise ValueError(f"`graphs.{role}.path` names {graph.path}, which `files` does not list")
        if "main" not in self.graphs:
            raise ValueError("`graphs.main` is missing")
        if isinstance(self.preprocessing, TextPreprocessing):
            tokenizer = self.preprocessing.tokenizer
            if tokenizer not in listed:
                raise ValueError(f"`preprocessing.tokenizer` names {tokenizer}, which `files` does not list")
        for file in self.files:
            expected = -(-file.size // CHUNK) if file.size > CHUNK else 0
            count = len(file.chunks)
            if count != expected:
                raise ValueError(f"`files` entry {file.path}: `chunks` has {count} checksums, {expected} needed")

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def parse(raw: bytes) -> Manifest:
    """Read a manifest. Raises ManifestError, whose words name the offending field."""
    try:
        return msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"manifest.json: {_field_first(str(error))}") from None


def dump(manifest: Manifest) -> bytes:
    """The manifest's canonical bytes: two-space indent, fields in schema order, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def schema() -> dict[str, object]:
    """The JSON Schema of manifest.json."""
    return msgspec.json.schema(Manifest)


def _field_first(message: str) -> str:
    match = re.fullmatch(r"(?P<what>.*) - at `\$\.?(?P<where>.*)`", message)
    return f"field `{match['where']}`: {match['what']}" if match and match["where"] else message
