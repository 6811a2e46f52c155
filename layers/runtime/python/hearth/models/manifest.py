"""The manifest: all that is needed to serve an artifact, in one strict, versioned JSON file.

`schema()` gives the JSON Schema that is published as `manifest.schema.json` beside this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from hearth.errors import ManifestError
from hearth.task_table import TASKS

CHUNK = 8 * 1024 * 1024
"""Bytes of a file that one SHA-256 of `File.chunks` covers, and that one ranged read fetches."""

SIGNATURE = "model.sig"
"""Beside a manifest: its signature. The reference tool calls it so too, and leaves it out of what it signs."""

if TYPE_CHECKING:
    TaskId = str
else:
    TaskId = Literal[tuple(TASKS)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Version = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
# One folder deep at most, no leading dot: nothing here can climb out of the artifact's folder.
FilePath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
Positive = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]
DataType = Literal["float32", "float16", "int64", "int32", "int8", "uint8", "bool", "string"]


Provider = Literal["cpu", "openvino"]


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
    resize: Literal["stretch", "shortest-edge-center-crop", "letterbox"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """(x / scale - mean) / std, for each channel in `channels` order."""
    scale: Annotated[float, Meta(gt=0)] = 255.0
    fill: Annotated[int, Meta(ge=0, le=255)] = 114
    """Grey of what a letterbox leaves empty."""
    centred: bool = False
    """Whether a letterbox holds the picture in its middle, or in its upper left corner."""
    channels: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["NCHW"] = "NCHW"
    resample: Literal["bilinear", "bicubic"] = "bilinear"


class AudioPreprocessing(Strict, frozen=True, tag="audio", tag_field="kind"):
    """Log-mel features: frames of `window` samples every `hop`, `fft` points, `mels` bands from `low` to `high` Hz."""

    rate: Positive
    """Samples a second; other rates are resampled."""
    window: Positive
    hop: Positive
    fft: Positive
    mels: Positive
    low: float
    high: float
    normalise: Literal["utterance", "none"] = "utterance"
    """Each band to zero mean and unit variance over the utterance."""


class Entailment(Strict, frozen=True, tag="entailment", tag_field="kind"):
    """Zero-shot classification: which labels of a natural-language-inference model mean what."""

    entailment: Index
    contradiction: Index


class Tagging(Strict, frozen=True, tag="tagging", tag_field="kind"):
    """A label a token; longer texts in windows that share `stride` tokens."""

    stride: Index = 0


class Mask(Strict, frozen=True, tag="mask", tag_field="kind"):
    """Masked tokens are guessed."""

    token_id: Index


class Spans(Strict, frozen=True, tag="spans", tag_field="kind"):
    """Start and end logits a token; longer contexts in windows that share `stride` tokens."""

    stride: Index = 128
    max_answer: Positive = 15
    """Tokens of an answer."""


class Pooling(Strict, frozen=True, tag="pooling", tag_field="kind"):
    """From a vector a token to one a text."""

    method: Literal["mean", "cls"]
    normalise: bool
    dimensions: Positive
    words: bool = False
    """The vectors are of words, whatever stands around them: they have neighbours and analogies."""


class Decoder(Strict, frozen=True, tag="decoder", tag_field="kind"):
    """A causal language model with one key-value buffer a layer."""

    layers: Positive
    kv_heads: Positive
    head_size: Positive
    context: Positive
    """Tokens of prompt and answer together."""
    eos: tuple[int, ...] = ()
    bos: int | None = None
    chat_template: FilePath | None = None
    """A Jinja template among `resources`."""


class Seq2Seq(Strict, frozen=True, tag="seq2seq", tag_field="kind"):
    """An encoder (`main`) and a decoder with self- and cross-attention caches."""

    layers: Positive
    heads: Positive
    head_size: Positive
    start: Index
    """The token that every answer begins after."""
    eos: Index
    max_new: Positive
    beams: Positive = 1
    length_penalty: float = 1.0
    source: tuple[str, ...] = ()
    """Language codes that may be translated from; `target`: to."""
    target: tuple[str, ...] = ()


class Detector(Strict, frozen=True, tag="detector", tag_field="kind"):
    """Boxes, as `grid` cells that still want decoding or as `boxes` (centre, size) in pixels of the input."""

    form: Literal["grid", "boxes"]
    strides: tuple[Positive, ...] = ()
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.25
    iou: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Of two boxes of a class that overlap more, the weaker one goes."""


class Ctc(Strict, frozen=True, tag="ctc", tag_field="kind"):
    """Log-probabilities of `labels` (characters) a frame."""

    blank: Index
    stride: Positive = 1
    """Frames of features for each frame of the output."""
    chunk_seconds: Annotated[float, Meta(ge=1)] = 20.0
    """Longer sound is heard in overlapping pieces of this length."""
    language: str = ""
    """That is spoken, as its code: `en`. Empty: not known."""
    margin_seconds: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """Silence that is put before and after: a word that is cut out tightly is heard badly without surroundings."""
    beams: Positive = 1
    """Of the search when the caller does not say; 1: the likeliest symbol of each frame."""
    language_model: FilePath | None = None
    """Character n-grams among `resources`, an ARPA file."""
    language_weight: float = 0.5
    letter_bonus: float = 0.0
    """Added to each letter's score where there is a language model, which alone would prefer short texts."""


Head = Entailment | Tagging | Mask | Spans | Pooling | Decoder | Seq2Seq | Detector | Ctc
"""How the outputs of the graphs are to be read, beyond labels and activation."""


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
    """Processor time of training on `machine`."""
    machine: str = ""
    parents: tuple[str, ...] = ()
    """Checkpoints that the model was distilled or imported from."""


class Quantization(Strict, frozen=True):
    method: Literal["none", "dynamic-int8", "static-int8", "int4-blocks"]
    details: str = ""


class Metrics(Strict, frozen=True):
    """Measured by `verify` on `dataset`: each metric of the torch model, the fp32 graph and the served graph."""

    dataset: str
    torch: dict[str, float]
    """Empty where the model was never a torch model here."""
    fp32: dict[str, float]
    served: dict[str, float]
    metric: str = ""
    """The one that the gate looked at."""
    reference: str = ""
    """Published figures to compare with."""


class Manifest(Strict, frozen=True, kw_only=True):
    schema_version: Literal[1] = field(name="schema", default=1)
    model: Name
    version: Version
    task: TaskId
    files: tuple[File, ...]
    graphs: dict[str, Graph]
    """By role; every task has `main`, an encoder-decoder its `decoder` too."""
    provider: Provider = "cpu"
    """ONNX Runtime's execution provider that the graphs are for; `openvino` is of onnxruntime-openvino alone."""
    preprocessing: TextPreprocessing | ImagePreprocessing | AudioPreprocessing
    head: Head | None = None
    """None: a classifier's logits."""
    resources: tuple[FilePath, ...] = ()
    """Small files that are read when the model is loaded, such as a chat template."""
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
        for name in ("manifest.json", SIGNATURE):
            if name in listed:
                raise ValueError(f"`files` must not list {name} itself")
        for role, graph in self.graphs.items():
            if graph.path not in listed:
                raise ValueError(f"`graphs.{role}.path` names {graph.path}, which `files` does not list")
        if "main" not in self.graphs:
            raise ValueError("`graphs.main` is missing")
        if isinstance(self.preprocessing, TextPreprocessing):
            tokenizer = self.preprocessing.tokenizer
            if tokenizer not in listed:
                raise ValueError(f"`preprocessing.tokenizer` names {tokenizer}, which `files` does not list")
        row = TASKS[self.task]
        kind = self.preprocessing.__struct_config__.tag
        if kind != row.preprocessing:
            raise ValueError(f"`preprocessing.kind` is {kind}; a model of {self.task} has {row.preprocessing}")
        head = "" if self.head is None else str(self.head.__struct_config__.tag)
        if head not in row.heads:
            kinds = " or ".join(name or "none" for name in row.heads)
            raise ValueError(f"`head.kind` is {head or 'none'}; a model of {self.task} has {kinds}")
        for path in self.resources:
            if path not in listed:
                raise ValueError(f"`resources` names {path}, which `files` does not list")
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
