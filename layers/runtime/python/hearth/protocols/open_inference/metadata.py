"""What the server and its models are: metadata, readiness, Triton's configuration."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hearth import __version__
from hearth.errors import NotFound
from hearth.models.cache import warm
from hearth.models.manifest import Manifest
from hearth.protocols.base import Answer, Call
from hearth.protocols.open_inference.schema import Health, Metadata, Models, Ready, Server, Spec
from hearth.protocols.open_inference.signatures import VIEWS, signature
from hearth.protocols.open_inference.target import Target, target
from hearth.strict_json import told

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)


class Tensor(Struct, frozen=True):
    name: str
    data_type: str
    dims: tuple[int, ...]


class Policy(Struct, frozen=True):
    specific: dict[str, list[int]]


class Config(Struct, frozen=True):
    """The part of Triton's that is true here. Without a batch size the dimensions are whole ones."""

    name: str
    platform: str
    backend: str
    version_policy: Policy
    max_batch_size: int
    input: list[Tensor]
    output: list[Tensor]


def health(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Health(live=True, ready=True)))


def server(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Server("hearth", __version__, list(EXTENSIONS))))


def models(call: Call) -> Answer:
    return Answer(msgspec.json.encode(Models(warm().registry.models())))


def ready(call: Call) -> Answer:
    """Whether the model would answer: it is loaded when it is asked first, so one that is there is ready."""
    return Answer(msgspec.json.encode(Ready(target(call).shown, True)))


def model(call: Call) -> Answer:
    """`?task=` shows another task than the model's own, if it answers one."""
    wanted = target(call)
    inputs, outputs = tensors(call, wanted)
    found = Metadata(
        wanted.shown,
        warm().registry.versions(wanted.manifest.model),
        "onnx_onnxv1" if wanted.role else "hearth_pipeline",
        inputs,
        outputs,
        properties(wanted.manifest),
    )
    return Answer(msgspec.json.encode(found))


def tensors(call: Call, wanted: Target) -> tuple[tuple[Spec, ...], tuple[Spec, ...]]:
    """Inputs and outputs. Raises NotFound for a task that the model does not answer."""
    manifest = wanted.manifest
    task = call.query.get("task", "") or manifest.task
    if task != manifest.task:
        call.task(wanted.name, task)
    if task not in VIEWS:
        raise NotFound(f"There is no task {told(task)}")
    return signature(manifest, task, wanted.role)


def properties(manifest: Manifest) -> dict[str, str]:
    """Texts alone, as the protocol wants it; lists are JSON texts."""
    main = manifest.graphs["main"].path
    found: dict[str, Any] = {
        "task": manifest.task,
        "version": manifest.version,
        "licence": manifest.licence,
        "description": manifest.description,
        "quantization": manifest.quantization.method,
        "labels": manifest.labels,
        "graphs": [f"{manifest.model}-raw{f'-{role}' * (role != 'main')}" for role in manifest.graphs],
        "batch": manifest.limits.batch,
        "sha256": next(file.sha256 for file in manifest.files if file.path == main),
        "files": {file.path: file.sha256 for file in manifest.files},
    }
    return {name: text if isinstance(text, str) else msgspec.json.encode(text).decode() for name, text in found.items()}


def config(call: Call) -> Answer:
    wanted = target(call)
    inputs, outputs = tensors(call, wanted)

    def each(specs: tuple[Spec, ...]) -> list[Tensor]:
        kinds = {spec.datatype: "STRING" if spec.datatype == "BYTES" else spec.datatype for spec in specs}
        return [Tensor(spec.name, f"TYPE_{kinds[spec.datatype]}", spec.shape) for spec in specs]

    found = Config(
        wanted.shown,
        "onnxruntime_onnx" if wanted.role else "",
        "onnxruntime" if wanted.role else "hearth",
        Policy({"versions": [int(version) for version in warm().registry.versions(wanted.manifest.model)]}),
        0,
        each(inputs),
        each(outputs),
    )
    return Answer(msgspec.json.encode(found))
