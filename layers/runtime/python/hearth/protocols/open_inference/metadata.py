"""Metadata and readiness of the server and its models, and Triton's model configuration."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hearth import __version__
from hearth.errors import NotFound
from hearth.models.cache import warm_cache
from hearth.models.manifest import Manifest
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.schema import (
    ModelMetadata,
    ModelNames,
    ModelReady,
    ServerHealth,
    ServerMetadata,
    TensorMetadata,
)
from hearth.protocols.open_inference.signatures import Signature, graph_signature, task_signature
from hearth.protocols.open_inference.target import Target, find_target
from hearth.strict_json import safe_name
from hearth.task_table import TASKS
from hearth.tasks.task import choose_task

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)


class ConfigTensor(Struct, frozen=True):
    name: str
    data_type: str
    dims: tuple[int, ...]


class VersionPolicy(Struct, frozen=True):
    specific: dict[str, list[int]]


class ModelConfig(Struct, frozen=True):
    """The applicable part of Triton's model configuration. `max_batch_size` is 0, so `dims` include the batch
    dimension."""

    name: str
    platform: str
    backend: str
    version_policy: VersionPolicy
    max_batch_size: int
    input: list[ConfigTensor]
    output: list[ConfigTensor]


_draining = False


def set_draining(draining: bool) -> None:
    """Say whether the server is about to end, so that it should get no further requests."""
    global _draining
    _draining = draining


def server_live(request: Request) -> Response:
    """The process answers."""
    return Response(msgspec.json.encode(ServerHealth(live=True, ready=not _draining)))


def server_ready(request: Request) -> Response:
    """The server takes requests. A server that cannot reach its store is ready all the same: it answers with the models
    that it has, and the other replicas could not reach it either."""
    health = ServerHealth(live=True, ready=not _draining)
    return Response(msgspec.json.encode(health), status=503 if _draining else 200)


def server_metadata(request: Request) -> Response:
    return Response(msgspec.json.encode(ServerMetadata("hearth", __version__, list(EXTENSIONS))))


def list_model_names(request: Request) -> Response:
    return Response(msgspec.json.encode(ModelNames(warm_cache().registry.models())))


def model_ready(request: Request) -> Response:
    """A model in the store is always ready: the first request loads it."""
    return Response(msgspec.json.encode(ModelReady(find_target(request).shown_name, True)))


def model_metadata(request: Request) -> Response:
    """`?task=` selects another task than the model's own, if the model supports it."""
    target = find_target(request)
    manifest = target.resolved.manifest
    inputs, outputs = _signature(request, target)
    metadata = ModelMetadata(
        target.shown_name,
        warm_cache().registry.versions(manifest.model),
        "onnx_onnxv1" if target.role else "hearth_pipeline",
        inputs,
        outputs,
        _properties(manifest),
    )
    return Response(msgspec.json.encode(metadata))


def _signature(request: Request, target: Target) -> Signature:
    """Inputs and outputs. Raises NotFound for a task that the model does not support."""
    manifest = target.resolved.manifest
    task = request.query.get("task", "") or manifest.task
    if task != manifest.task:
        choose_task(request.tasks, target.resolved, task)
    if task not in TASKS:
        raise NotFound(f"There is no task {safe_name(task)}")
    return graph_signature(manifest, target.role) if target.role else task_signature(manifest, task)


def _properties(manifest: Manifest) -> dict[str, str]:
    """Properties as texts, as the protocol requires; lists are JSON texts."""
    main = manifest.graphs["main"].path
    graphs = [f"{manifest.model}-raw" if role == "main" else f"{manifest.model}-raw-{role}" for role in manifest.graphs]
    properties: dict[str, Any] = {
        "task": manifest.task,
        "version": manifest.version,
        "licence": manifest.licence,
        "description": manifest.description,
        "quantization": manifest.quantization.method,
        "labels": manifest.labels,
        "graphs": graphs,
        "batch": manifest.limits.batch,
        "sha256": next(file.sha256 for file in manifest.files if file.path == main),
        "files": {file.path: file.sha256 for file in manifest.files},
    }
    return {
        name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for name, value in properties.items()
    }


def model_config(request: Request) -> Response:
    target = find_target(request)
    inputs, outputs = _signature(request, target)
    versions = warm_cache().registry.versions(target.resolved.manifest.model)
    config = ModelConfig(
        target.shown_name,
        "onnxruntime_onnx" if target.role else "",
        "onnxruntime" if target.role else "hearth",
        VersionPolicy({"versions": [int(version) for version in versions]}),
        0,
        [_config_tensor(tensor) for tensor in inputs],
        [_config_tensor(tensor) for tensor in outputs],
    )
    return Response(msgspec.json.encode(config))


def _config_tensor(tensor: TensorMetadata) -> ConfigTensor:
    kind = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return ConfigTensor(tensor.name, f"TYPE_{kind}", tensor.shape)
