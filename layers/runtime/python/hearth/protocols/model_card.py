"""Routes for people who choose a model: its versions and aliases, and its card with plots and examples."""

from __future__ import annotations

from typing import Any

import msgspec

from hearth.errors import HearthError
from hearth.models.cache import warm_cache
from hearth.models.registry import Alias, Ref, Registry
from hearth.protocols.base import Request, Response, Route

MAX_VERSIONS = 50
"""Versions that are described, the newest ones."""
MAX_FILE_BYTES = 2 * 1024 * 1024
"""Largest size of a report, a plot or the examples; larger ones are left out."""
MAX_EXAMPLES = 6
MAX_EXAMPLE_BYTES = 400_000
"""Largest size of the examples together, as JSON."""


class VersionSummary(msgspec.Struct, frozen=True):
    version: str
    size: int
    """Bytes."""
    quantization: str
    metric: str
    """Name of the main metric; may be empty."""
    metrics: dict[str, float]
    """Metrics of the served graph on held-out data."""


class ModelVersions(msgspec.Struct, frozen=True):
    versions: list[VersionSummary]
    """Newest first."""
    aliases: dict[str, Alias]


class ModelCard(msgspec.Struct, frozen=True):
    """What a model's page shows beside its manifest."""

    report: str
    """Markdown; empty if the artifact has none."""
    plots: list[bytes]
    """PNG files, as base64."""
    examples: list[Any]
    """`inputs` with which the model was checked when it was published: a text, {"base64": …} of a file,
    rows of a table, or tensors."""


def list_versions(request: Request) -> Response:
    registry, model = warm_cache().registry, _model(request).model
    summaries = []
    for version in reversed(registry.versions(model)[-MAX_VERSIONS:]):
        try:
            manifest = registry.manifest(Ref(model, version))
        except HearthError:  # a damaged version must not hide the others; asking for it says what is wrong
            continue
        metrics = manifest.metrics
        summaries.append(
            VersionSummary(version, manifest.size, manifest.quantization.method, metrics.metric, metrics.served)
        )
    return Response(msgspec.json.encode(ModelVersions(summaries, registry.aliases(model))))


def get_card(request: Request) -> Response:
    registry, ref = warm_cache().registry, _model(request)
    report = registry.read_file(ref, "report.md", MAX_FILE_BYTES) or b""
    plot = registry.read_file(ref, "report.png", MAX_FILE_BYTES)
    card = ModelCard(report.decode("utf-8", "replace"), [plot] if plot else [], _examples(registry, ref))
    return Response(msgspec.json.encode(card))


def _model(request: Request) -> Ref:
    return warm_cache().resolve(request.path_params["name"]).ref


def _examples(registry: Registry, ref: Ref) -> list[Any]:
    """Inputs of the golden answers that the task's request takes as they are: texts and files."""
    raw = registry.read_file(ref, "golden.json", MAX_FILE_BYTES)
    cases = msgspec.json.decode(raw).get("cases", []) if raw else []
    examples: list[Any] = []
    size = 0
    for case in cases[: 4 * MAX_EXAMPLES]:
        inputs = case.get("inputs")
        size += len(msgspec.json.encode(inputs))
        if size > MAX_EXAMPLE_BYTES or len(examples) == MAX_EXAMPLES:
            break
        if isinstance(inputs, (str, dict, list)):
            examples.append(inputs)
    return examples


ROUTES = (
    Route(
        "GET",
        "/models/{name}/versions",
        list_versions,
        "list_model_versions",
        "List the versions and aliases of a model",
        response_schema=ModelVersions,
    ),
    Route(
        "GET",
        "/models/{name}/card",
        get_card,
        "get_model_card",
        "Get the report, plots and examples of a model",
        response_schema=ModelCard,
    ),
)
