"""GET /v1/models."""

from __future__ import annotations

import msgspec

from hearth.errors import BadRequest
from hearth.models.cache import warm_cache
from hearth.models.catalog import CatalogEntry
from hearth.models.manifest import Manifest
from hearth.protocols.base import Request, Response
from hearth.protocols.openai.common import with_param


class OpenAIModel(msgspec.Struct, frozen=True):
    id: str
    object: str
    created: int
    """Always 0: the time of creation is not recorded."""
    owned_by: str
    task: str
    version: str
    description: str


class OpenAIModelList(msgspec.Struct, frozen=True):
    object: str
    data: list[OpenAIModel]


def _describe(name: str, entry: CatalogEntry | Manifest) -> OpenAIModel:
    return OpenAIModel(name, "model", 0, "hearth", entry.task, entry.version, entry.description)


def list_models(request: Request) -> Response:
    entries, _ = warm_cache().registry.catalog()
    models = [_describe(name, entry) for name, entry in entries.items()]
    return Response(msgspec.json.encode(OpenAIModelList("list", models)))


def retrieve_model(request: Request) -> Response:
    name = request.path_params["name"]
    try:
        manifest = warm_cache().resolve(name).manifest
    except BadRequest as error:
        raise with_param(error, "model") from None
    return Response(msgspec.json.encode(_describe(name, manifest)))
