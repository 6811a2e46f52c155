"""The manifest: everything needed to serve an artifact, in one strict, versioned JSON file.

`schema()` returns the JSON Schema that is published as `manifest.schema.json` beside this file.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, field

from hearth.errors import ManifestError
from hearth.models.fields import FilePath, Index, Positive, Strict
from hearth.models.heads import Head
from hearth.models.preprocessing import Preprocessing
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
SCORES = ("logits", "probabilities")
"""Outputs whose last dimension has a score for each label, of models whose answers are compared as in `BY_LABEL`."""
BY_LABEL = ("scores", "token_labels", "table_scores")
ANY_SHAPE = ("...",)
"""The shape of a tensor whose number of dimensions is unknown."""


Provider = Literal["cpu", "openvino"]


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
    blocked: bool = False
    """Whether the weights of its convolutions are arranged in blocks while it is loaded, which was measured to be
    faster. The blocks are as wide as the processor's registers, so an artifact cannot hold them."""


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


class Reference(Strict, frozen=True):
    """Statistics of the evaluation's inputs and of the served graph's answers, which `hearth drift` compares with what
    is served."""

    dataset: str
    inputs: Positive
    counts: dict[str, tuple[Index, ...]]
    """By feature: the number of inputs in each class, without zeros at the end."""
    known_tokens: str = ""
    """Base64 of a bit for each token id, modulo the number of bits, that occurs in half of the inputs; `unfamiliar`
    counts the other half."""
    centre: tuple[float, ...] = ()
    """The mean vector of half of the inputs, of a model of vectors; `distance` counts the other half."""
    columns: dict[str, tuple[str | float | None, ...]] = field(default_factory=dict)
    """Usual values of each column of a table, for explanations: values at equal steps of its sorted values."""


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
    reference: Reference | None = None
    """None: the version can be compared only with what was served earlier."""

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
        if self.labels and row.comparison in BY_LABEL:
            for output in self.graphs["main"].outputs:
                scores = output.shape[-1] if output.shape and output.name in SCORES else None
                if isinstance(scores, int) and scores != len(self.labels):
                    raise ValueError(f"`labels` has {len(self.labels)} names, but the graph has {scores} {output.name}")
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
