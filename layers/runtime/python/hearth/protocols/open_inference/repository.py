"""The model repository: which models exist, and which are in the memory of this execution environment."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from hearth import strict_json
from hearth.errors import BadRequest, Forbidden
from hearth.models.cache import warm_cache
from hearth.models.registry import Ref
from hearth.protocols.base import Request, Response
from hearth.protocols.open_inference.schema import (
    RepositoryIndexEntry,
    RepositoryIndexRequest,
    RepositoryModelRequest,
)
from hearth.protocols.open_inference.target import find_target
from hearth.strict_json import safe_name

T = TypeVar("T")
NOT_LOADED = "not in memory of this execution environment; the next request loads it"


def _read(request: Request, schema: type[T]) -> T:
    """Decode the body; an empty one counts as an empty object. Raises BadRequest."""
    return strict_json.convert(strict_json.loads(request.body), schema) if request.body else schema()


def repository_index(request: Request) -> Response:
    """Versions in memory are READY. Others have Triton's state UNAVAILABLE, but are loaded by their first request."""
    document = _read(request, RepositoryIndexRequest)
    loaded, registry = warm_cache().loaded(), warm_cache().registry
    entries = []
    for name, versions in registry.all_versions().items():
        for version in versions:
            if Ref(name, version) in loaded:
                entries.append(RepositoryIndexEntry(name, version, "READY", ""))
            elif not document.ready:
                entries.append(RepositoryIndexEntry(name, version, "UNAVAILABLE", NOT_LOADED))
    return Response(msgspec.json.encode(entries))


def load_model(request: Request) -> Response:
    """Load the current version of the name. Raises Forbidden for parameters that would replace it."""
    for name in _read(request, RepositoryModelRequest).parameters:
        if name == "config" or name.startswith("file:"):
            raise Forbidden("Models are loaded from the store as they were published; leave `config` and `file:…` out")
        raise BadRequest(f"The parameter {safe_name(name)} is not supported here")
    request.open_model(find_target(request).resolved)
    return Response(b"{}")


def unload_model(request: Request) -> Response:
    """Free the model's memory in this environment, once running requests have ended; the next request loads it
    again."""
    unknown = sorted(_read(request, RepositoryModelRequest).parameters.keys() - {"unload_dependents"})
    if unknown:
        raise BadRequest(f"The parameter {safe_name(unknown[0])} is not supported here")
    warm_cache().drop(find_target(request).resolved.ref)
    return Response(b"{}")
