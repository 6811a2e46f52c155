"""The manifest: everything needed to serve an artifact, in one strict, versioned JSON file.

`schema()` returns the JSON Schema that is published as `manifest.schema.json` beside this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from hearth.errors import ManifestError
from hearth.task_table import TASKS

CHUNK = 8 * 1024 * 1024
"""Bytes of a file that one SHA-256 of `File.chunks` covers and one ranged read downloads."""

SIGNATURE = "model.sig"
"""File name of a manifest's signature. The reference tool has the same name and excludes this file from what it
signs."""

if TYPE_CHECKING:
    TaskId = str
else:
    TaskId = Literal[tuple(TASKS)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Version = Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,8}$")]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
# A file name without folders and without a leading dot: no path can leave the artifact's folder.
FilePath = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
Positive = Annotated[int, Meta(ge=1)]
Index = Annotated[int, Meta(ge=0)]
DataType = Literal[
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
    "string",
    "json",
]
"""NumPy's names, and `json`: a sequence or a map, which travels as a JSON text."""
ANY_SHAPE = ("...",)
"""The shape of a tensor whose number of dimensions is unknown."""


Provider = Literal["cpu", "openvino"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a manifest: immutable, and an unknown field is an error."""


class File(Strict, frozen=True):
    path: FilePath
    size: Annotated[int, Meta(ge=0)]
    """Bytes."""
    sha256: Sha256
    chunks: tuple[Sha256, ...] = ()
    """SHA-256 of each CHUNK bytes, for files longer than one CHUNK, so that ranges are verified as they arrive."""


class Tensor(Strict, frozen=True):
    name: str
    dtype: DataType
    shape: tuple[int | str, ...]
    """A string names a dynamic dimension."""
    onnx_type: str = ""
    """ONNX Runtime's name of the type of a `json` value, such as seq(map(string,tensor(float)))."""


class Graph(Strict, frozen=True):
    path: FilePath
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


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


class Entailment(Strict, frozen=True, tag="entailment", tag_field="kind"):
    """Zero-shot classification: the indices of a natural-language-inference model's labels."""

    entailment: Index
    contradiction: Index


class Ranking(Strict, frozen=True, tag="ranking", tag_field="kind"):
    """A cross-encoder: one logit for a query and a text, which is the higher the better the text fits."""


class Tagging(Strict, frozen=True, tag="tagging", tag_field="kind"):
    """One label per token; longer texts are read in windows that share `stride` tokens."""

    stride: Index = 0


class Mask(Strict, frozen=True, tag="mask", tag_field="kind"):
    """The model predicts masked tokens."""

    token_id: Index


class Spans(Strict, frozen=True, tag="spans", tag_field="kind"):
    """Start and end logits per token; longer contexts are read in windows that share `stride` tokens."""

    stride: Index = 128
    max_answer: Positive = 15
    """Largest number of tokens of an answer."""


class Pooling(Strict, frozen=True, tag="pooling", tag_field="kind"):
    """Pools one vector per token into one per text."""

    method: Literal["mean", "cls", "none"]
    """`none`: the graph gives one vector per text already."""
    normalise: bool
    dimensions: Positive
    words: bool = False
    """Whether the vectors are of single words, without context: they have neighbours and analogies."""
    prompts: dict[str, str] = {}
    """Texts that a request can have put before each of its texts, by name."""
    default_prompt: str | None = None
    """The name of the prompt for requests that name none."""


class Decoder(Strict, frozen=True, tag="decoder", tag_field="kind"):
    """A causal language model with one key-value buffer per layer."""

    layers: Positive
    kv_heads: Positive
    head_size: Positive
    context: Positive
    """Largest number of tokens of prompt and answer together."""
    eos: tuple[int, ...] = ()
    bos: int | None = None
    chat_template: FilePath | None = None
    """A Jinja template among `resources`."""
    reusable: bool = False
    """Whether a token's keys and values do not depend on what is read with it, so that other texts may reuse them: with
    one scale for the activations of several tokens they do."""


class Seq2Seq(Strict, frozen=True, tag="seq2seq", tag_field="kind"):
    """An encoder (`main`) and a decoder with self- and cross-attention caches."""

    layers: Positive
    heads: Positive
    head_size: Positive
    start: Index
    """The decoder's start token."""
    eos: Index
    max_new: Positive
    beams: Positive = 1
    length_penalty: float = 1.0
    source: tuple[str, ...] = ()
    """Language codes of the sources."""
    target: tuple[str, ...] = ()
    """Language codes of the translations."""
    language_ids: dict[str, Index] = {}
    """The token of each language, for models that read one in the source and begin their output with one. The sources
    of the tokenizer are in the first language of `source`."""
    prefix: str = ""
    """What is put before each text, such as T5's `summarize: `."""
    suppressed: tuple[Index, ...] | None = None
    """Tokens that are never generated; None: the start token."""
    forced_bos: Index | None = None
    """The first token of each output."""
    forced_eos: bool = True
    """Whether an output of the largest length ends with the end token."""
    min_new: Index = 0
    """Smallest number of tokens before the end token."""
    no_repeat_ngram: Index = 0
    """Length of the sequences of tokens that never occur twice in an output; 0: no such limit."""
    repetition_penalty: Annotated[float, Meta(gt=0)] = 1.0
    early_stopping: bool = False
    """Whether a search ends as soon as it has as many finished sequences as beams."""


class Detector(Strict, frozen=True, tag="detector", tag_field="kind"):
    """What a row of the output is: a `grid` cell that must be decoded; `boxes` (centre, size) or `corners`, each with a
    score per label; or `selected` (corners, score, label), which the graph has chosen itself."""

    form: Literal["grid", "boxes", "corners", "selected"]
    strides: tuple[Positive, ...] = ()
    threshold: Annotated[float, Meta(ge=0, le=1)] = 0.25
    iou: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """Of two boxes of a class that overlap more, the one with the lower score is dropped; 1 drops none."""
    normalised: bool = False
    """Whether boxes are in fractions of the canvas instead of its pixels."""
    multi_label: bool = False
    """Whether a box counts for each label whose score reaches the threshold, or for the best one alone."""


class Segmenter(Strict, frozen=True, tag="segmenter", tag_field="kind"):
    """Logits (batch, labels, height, width), which are resized to the picture."""


class Contrastive(Strict, frozen=True, tag="contrastive", tag_field="kind"):
    """Vectors of pictures (graph `main`) and of texts (graph `text`, where there is one) in one space."""

    dimensions: Positive
    tokenizer: FilePath | None = None
    """A `tokenizers` JSON file. None: there is no graph `text`."""
    max_tokens: Positive = 77
    pad_id: int = 0
    fixed_length: bool = False
    """Whether every text is padded to `max_tokens`."""
    scale: float = 1.0
    bias: float = 0.0
    """scale * cosine + bias is the logit of a picture and a text."""
    template: str = "This is a photo of {}."
    """The sentence that stands for a label; {} is replaced by it."""


class Whisper(Strict, frozen=True, tag="whisper", tag_field="kind"):
    """An encoder (`main`) of 30-second windows, a decoder of its first tokens, `prompt`, and one of each further token,
    `decoder`, with key-value caches."""

    tokenizer: FilePath
    max_tokens: Positive
    """Largest number of tokens of a window, its prompt included."""
    layers: Positive
    heads: Positive
    head_size: Positive
    start: Index
    eos: Index
    timestamps: Index | None
    """The token of the time 0.00; each further one is 0.02 seconds later. None: there are none."""
    no_timestamps: Index | None
    no_speech: Index | None = None
    previous: Index | None = None
    """The token before the text of the window before."""
    languages: dict[str, int] = {}
    """Language codes and their tokens; empty: an English model without such tokens."""
    tasks: dict[str, int] = {}
    """The tokens of `transcribe` and `translate`."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never generated."""
    suppressed_first: tuple[int, ...] = ()
    """Tokens with which no text begins."""


class Ctc(Strict, frozen=True, tag="ctc", tag_field="kind"):
    """Log-probabilities of `labels` (characters) per frame."""

    blank: Index
    stride: Positive = 1
    """Feature frames per output frame."""
    chunk_seconds: Annotated[float, Meta(ge=1)] = 20.0
    """Longer recordings are processed in overlapping chunks of this length."""
    language: str = ""
    """Code of the spoken language, such as `en`; empty: unknown."""
    margin_seconds: Annotated[float, Meta(ge=0, le=10)] = 0.0
    """Silence added before and after a recording: tightly cut words are recognised badly without it."""
    beams: Positive = 1
    """Default number of beams; 1: greedy decoding."""
    language_model: FilePath | None = None
    """An ARPA file of character n-grams among `resources`."""
    language_weight: float = 0.5
    letter_bonus: float = 0.0
    """Added to each letter's score with a language model, which by itself would prefer short texts."""


Head = (
    Entailment
    | Ranking
    | Tagging
    | Mask
    | Spans
    | Pooling
    | Decoder
    | Seq2Seq
    | Detector
    | Segmenter
    | Contrastive
    | Whisper
    | Ctc
)
Preprocessing = TextPreprocessing | ImagePreprocessing | AudioPreprocessing | TablePreprocessing
"""How the outputs of the graphs are decoded, beyond labels and activation."""


class Limits(Strict, frozen=True):
    """Limits of a request, checked before any work. None: does not apply to the task."""

    batch: Positive = 32
    characters: Positive | None = None
    pixels: Positive | None = None
    seconds: Positive | None = None


class Provenance(Strict, frozen=True):
    recipe: str
    command: str
    seed: int
    data: tuple[str, ...]
    """Name, licence and SHA-256 of each training data set, one sentence each."""
    commit: str = ""
    seconds: float = 0.0
    """CPU time of training on `machine`."""
    machine: str = ""
    parents: tuple[str, ...] = ()
    """Checkpoints from which the model was distilled or imported."""


class Quantization(Strict, frozen=True):
    method: Literal["none", "dynamic-int8", "static-int8", "int4-blocks"]
    details: str = ""


class Metrics(Strict, frozen=True):
    """Measured by `verify` on `dataset`: the metrics of the torch model, of the fp32 graph and of the served graph."""

    dataset: str
    torch: dict[str, float]
    """Empty if the model was not built from a torch model."""
    fp32: dict[str, float]
    served: dict[str, float]
    metric: str = ""
    """Name of the metric that the quality gate checked."""
    reference: str = ""
    """Published figures for comparison."""


class Manifest(Strict, frozen=True, kw_only=True):
    schema_version: Literal[1] = field(name="schema", default=1)
    model: Name
    version: Version
    task: TaskId
    files: tuple[File, ...]
    graphs: dict[str, Graph]
    """By role: every task has `main`, an encoder-decoder also `decoder`."""
    provider: Provider = "cpu"
    """ONNX Runtime's execution provider for the graphs; `openvino` needs onnxruntime-openvino."""
    preprocessing: Preprocessing | None = None
    """None: the graph is called by its tensors."""
    head: Head | None = None
    """None for classifiers, whose outputs are logits."""
    resources: tuple[FilePath, ...] = ()
    """Small files that are read with the model, such as a chat template."""
    labels: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid", "none"] = "softmax"
    """Default activation that turns a classifier's logits into scores."""
    limits: Limits = Limits()
    licence: str
    description: str
    provenance: Provenance
    quantization: Quantization
    metrics: Metrics

    def __post_init__(self) -> None:
        # msgspec reports a ValueError raised here as a ValidationError, so the message must name the field.
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("`files` lists a path twice")
        for name in ("manifest.json", SIGNATURE):
            if name in paths:
                raise ValueError(f"`files` must not list {name} itself")
        for role, graph in self.graphs.items():
            if graph.path not in paths:
                raise ValueError(f"`graphs.{role}.path` names {graph.path}, which `files` does not list")
        if "main" not in self.graphs:
            raise ValueError("`graphs.main` is missing")
        for name, part in (("preprocessing", self.preprocessing), ("head", self.head)):
            tokenizer = getattr(part, "tokenizer", None)
            if tokenizer is not None and tokenizer not in paths:
                raise ValueError(f"`{name}.tokenizer` names {tokenizer}, which `files` does not list")
        row = TASKS[self.task]
        kind = "" if self.preprocessing is None else str(self.preprocessing.__struct_config__.tag)
        if kind != row.preprocessing:
            kinds = row.preprocessing or "none"
            raise ValueError(f"`preprocessing.kind` is {kind or 'none'}; a model of {self.task} has {kinds}")
        head = "" if self.head is None else str(self.head.__struct_config__.tag)
        if head not in row.heads:
            kinds = " or ".join(name or "none" for name in row.heads)
            raise ValueError(f"`head.kind` is {head or 'none'}; a model of {self.task} has {kinds}")
        for path in self.resources:
            if path not in paths:
                raise ValueError(f"`resources` names {path}, which `files` does not list")
        for file in self.files:
            expected = -(-file.size // CHUNK) if file.size > CHUNK else 0
            count = len(file.chunks)
            if count != expected:
                raise ValueError(f"`files` entry {file.path}: `chunks` has {count} checksums; {expected} are needed")

    @property
    def size(self) -> int:
        """Size of all files in bytes."""
        return sum(file.size for file in self.files)


def parse(raw: bytes) -> Manifest:
    """Parse a manifest. Raises ManifestError, whose message names the invalid field."""
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
    match = re.fullmatch(r"(?P<error>.*) - at `\$\.?(?P<path>.*)`", message)
    return f"field `{match['path']}`: {match['error']}" if match and match["path"] else message
